import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { requireBrowser } from '../support/browser.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

/** Exports in speedscope's own app, as its package has it built. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const APP = join(dirname(createRequire(import.meta.url).resolve('speedscope/package.json')), 'dist/release/index.html');

const browser = await requireBrowser(t);
if (browser !== null) await drive(t, browser);

async function drive(t: Test, browser: Browser): Promise<void> {
  for (const sample of ['labels.gsp', 'torn.gsp']) {
    await t.test(
      `speedscope: shows the goroutines of ${sample} by their stacks, and how long they have waited`,
      async (t) => {
        const target = join(SAMPLES, sample);
        const path = join(temporaryFolder(t), 'goroutines.speedscope.json');
        t.match(await gospyHere(['export', target, '--format', 'speedscope', '-o', path]), { code: 0 });
        const { stdout } = await gospyHere(['goroutines', target, '--json']);
        const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };

        const context = await browser.newContext({ offline: true, viewport: { width: 1280, height: 4000 } });
        t.teardown(() => context.close());
        const page = await context.newPage();
        const errors: string[] = [];
        page.on('pageerror', (error) => errors.push(error.message));
        await page.goto(pathToFileURL(APP).href);
        await page.setInputFiles('input[type=file]', path);
        await page.waitForFunction('document.title !== "speedscope"');
        t.match(await page.title(), /^sample, process \d+ - speedscope$/);
        // The sandwich view is a table of functions.
        await page.keyboard.press('3');
        t.same(
          await rows(page),
          summed(goroutines, () => 1),
          'goroutines',
        );
        await page.keyboard.press('n');
        await page.waitForSelector('text=wait (2/2)');
        const waited = goroutines.filter(({ waitSinceNs }) => (waitSinceNs ?? 0) > 0);
        if (waited.length === 0) await page.waitForSelector('text=No symbols found');
        else t.same(namesOf(await rows(page)), namesOf(summed(waited, () => 0)), 'waits');
        t.same(errors, []);
      },
    );
  }
}

type Row = readonly [total: number, self: number, name: string];

function namesOf(all: readonly Row[]): string[] {
  return all.map(([, , name]) => name).sort();
}

/** The rows of the sandwich view. */
async function rows(page: Page): Promise<Row[]> {
  await page.waitForSelector('text=Symbol Name');
  const cells = await page.evaluate<string[][]>(`
    [...document.querySelectorAll('tr')].map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))`);
  const ofFunctions = cells.filter(({ length, 0: total = '' }) => length === 3 && / \(.*%\)$/.test(total));
  return sorted(ofFunctions.map(([total = '', self = '', name = '']) => [parseInt(total), parseInt(self), name]));
}

/** By function and line, how much is in it, and how much of that is in nothing that it calls. */
function summed(goroutines: readonly GoroutineWithStack[], weigh: (g: GoroutineWithStack) => number): Row[] {
  const sums = new Map<string, { total: number; self: number; readonly name: string }>();
  for (const g of goroutines) {
    const stack = g.frames.map(({ func, file, line }) => ({ name: func, key: `${func} ${file}:${line}` }));
    if (g.truncated !== null) stack.push({ name: '(the stack ends early)', key: '' });
    const seen = new Set<string>();
    for (const [i, { name, key }] of stack.entries()) {
      const sum = sums.get(key) ?? { total: 0, self: 0, name };
      sums.set(key, sum);
      if (!seen.has(key)) sum.total += weigh(g);
      if (i === 0) sum.self += weigh(g);
      seen.add(key);
    }
  }
  return sorted([...sums.values()].map(({ total, self, name }) => [total, self, name]));
}

function sorted(all: readonly Row[]): Row[] {
  return [...all].sort(([a, b, x], [c, d, y]) => c - a || d - b || (x < y ? -1 : 1));
}
