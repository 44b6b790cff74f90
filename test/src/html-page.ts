import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import type { PageDocument } from '../../src/web/document.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

/** What tests of the page in a browser share. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
/** The views of a page of one capture. */
export const VIEWS = ['overview', 'groups', 'goroutines', 'flame', 'waits', 'leaks', 'scheduler', 'labels'] as const;
/** Room for all rows of small lists. */
export const TALL = { viewport: { width: 1280, height: 2000 } };
/** A telephone. */
export const NARROW = { viewport: { width: 390, height: 844 } };

/** Writes a page of samples, or of other files by their paths. Returns its path. */
export async function pageOf(t: Test, ...files: readonly string[]): Promise<string> {
  const path = join(temporaryFolder(t), 'page.html');
  const paths = files.map((file) => (file.startsWith('/') ? file : join(SAMPLES, file)));
  const { code, stderr } = await gospyHere(['export', ...paths, '--format', 'html', '-o', path]);
  t.equal(code, 0, stderr);
  return path;
}

/** What a command says as JSON. Samples are named by their file names. */
export async function ask<T>(...args: readonly string[]): Promise<T> {
  const { stdout } = await gospyHere(
    args.map((arg) => (arg.endsWith('.gsp') && !arg.startsWith('/') ? join(SAMPLES, arg) : arg)),
  );
  return JSON.parse(stdout) as T;
}

/** The data in a page, unpacked as its script does. */
export function documentIn(html: string): PageDocument {
  const [, data = ''] = /<script type="application\/gzip" id="data">([A-Za-z0-9+/=]*)<\/script>/.exec(html) ?? [];
  return JSON.parse(gunzipSync(Buffer.from(data, 'base64')).toString()) as PageDocument;
}

/** The texts of the cells of a grid that are drawn, row by row. */
export function cells(page: Page): Promise<string[][]> {
  return page.evaluate<string[][]>(`
    [...document.querySelectorAll('.grid-body .row')].map((row) =>
      [...row.querySelectorAll('.cell')].map((cell) => cell.innerText))`);
}

/** The text of the first element that a selector matches. */
export function text(page: Page, selector: string): Promise<string> {
  return page.locator(selector).first().innerText();
}
