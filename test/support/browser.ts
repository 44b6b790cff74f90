import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { skip, type SkippableTest } from './skip.js';

/** What these helpers need of a tap test. */
interface Test extends SkippableTest {
  teardown(end: () => unknown): void;
}

/** Rules of axe-core that a page breaks, each with the elements that do. */
interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
}

/** Starts a browser without a window, which ends with the test; where there is none, skips the test and returns null. */
export async function requireBrowser(t: Test): Promise<Browser | null> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const executablePath = folders.map((folder) => join(folder, 'chromium')).find((path) => existsSync(path));
  if (executablePath === undefined) {
    skip(t, 'no chromium on PATH');
    return null;
  }
  // Chromium has no sandbox for root, and /dev/shm is small in containers.
  const args = ['--no-sandbox', '--disable-dev-shm-usage'];
  const browser = await chromium.launch({ executablePath, args });
  t.teardown(() => browser.close());
  return browser;
}

/** A file that is open in a browser without a network. */
export class OpenFile {
  readonly page: Page;
  /** Errors, what was written to the console, and requests for anything but the file. */
  readonly complaints: string[] = [];
  readonly #url: string;

  private constructor(page: Page, url: string) {
    this.page = page;
    this.#url = url;
    page.on('console', (message) => this.complaints.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('dialog', (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (request.url().split('#')[0] !== url) this.complaints.push(`request: ${request.url()}`);
    });
  }

  /** Opens the file and waits until `ready` can be seen. It closes with the test. */
  static async open(
    t: Pick<Test, 'teardown'>,
    browser: Browser,
    path: string,
    ready: string,
    options: BrowserContextOptions = {},
  ): Promise<OpenFile> {
    const context = await browser.newContext({ offline: true, viewport: { width: 1280, height: 800 }, ...options });
    t.teardown(() => context.close());
    const url = pathToFileURL(path).href;
    const file = new OpenFile(await context.newPage(), url);
    await file.page.goto(url);
    await file.page.waitForSelector(ready);
    return file;
  }

  /** Changes the part of the address behind `#`, and waits until what is shown has changed with it. */
  async go(hash: string): Promise<void> {
    await this.page.goto(`${this.#url}#${hash}`);
    await this.settle();
  }

  /** Waits until what was asked for is drawn. */
  async settle(): Promise<void> {
    await this.page.evaluate(
      'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))',
    );
  }

  /** The rules of axe-core that the page breaks as it is, with the first element that breaks each. */
  async axe(): Promise<string[]> {
    await this.page.evaluate(axe.source);
    const { violations } = await this.page.evaluate<AxeResults>("axe.run(document, { resultTypes: ['violations'] })");
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`);
  }
}
