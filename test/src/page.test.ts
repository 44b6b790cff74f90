import { readFileSync, writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { Group } from '../../analyze/report/groups.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { OpenFile, requireBrowser } from '../support/browser.js';
import { ask, cells, NARROW, pageOf, TALL, text, VIEWS } from './html-page.js';

/** The page that `export --format html` writes, in a browser. */

/** The colours of a sample of the pixels of the flame graph. */
function colours(page: Page): Promise<string[]> {
  return page.evaluate<string[]>(`
    (() => {
      const canvas = document.querySelector('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const found = new Set();
      for (let i = 0; i < data.length; i += 4000) found.add(data.slice(i, i + 3).join());
      return [...found];
    })()`);
}

/** What follows the view in an address. */
function queryOf({ hash }: URL): URLSearchParams {
  return new URLSearchParams(hash.split('?')[1] ?? '');
}

/** Waits until a search has been done, which begins after a pause in typing. */
async function search(file: OpenFile, words: string): Promise<void> {
  await file.page.fill('input[type=search]', words);
  await file.page.waitForURL((url) => queryOf(url).get('q') === (words === '' ? null : words));
  await file.settle();
}

const browser = await requireBrowser(t);
if (browser !== null) await drive(t, browser);

async function drive(t: Test, browser: Browser): Promise<void> {
  await t.test('page: goroutines and groups are those of goroutines --json', async (t) => {
    for (const name of ['queue.gsp', 'labels.gsp']) {
      const file = await OpenFile.open(t, browser, await pageOf(t, name), 'nav', TALL);
      const { page } = file;
      const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('goroutines', name, '--json');
      await file.go('goroutines');
      t.same(
        (await cells(page)).map(([goid, state]) => [goid, state]),
        goroutines.map(({ goid, status, waitReason }) => [String(goid), waitReason ?? status]),
      );
      for (const by of ['start', 'stack', 'user', 'caller', 'current', 'wait', 'label:tenant']) {
        const { groups } = await ask<{ groups: Group[] }>('goroutines', name, '--json', '--group-by', by);
        await file.go(`groups?by=${by}`);
        t.same(
          (await cells(page)).map(([count]) => Number(count)),
          groups.map(({ count }) => count),
          `${name} by ${by}`,
        );
      }
      t.same(file.complaints, []);
    }
  });

  await t.test('page: search, sort, a group, a stack', async (t) => {
    const file = await OpenFile.open(t, browser, await pageOf(t, 'queue.gsp'), 'nav');
    const { page } = file;
    await page.click('nav a:has-text("Goroutines")');
    await search(file, 'mutex STATS');
    t.equal(await text(page, '[role=search] [role=status]'), '4 of 27 goroutines');
    t.same([...new Set((await cells(page)).map(([, state]) => state))], ['sync.Mutex.Lock']);
    await search(file, 'main.go:');
    t.ok((await cells(page)).length > 4);
    await search(file, 'main.go:46');
    t.same(
      (await cells(page)).map(([goid]) => goid),
      ['1'],
    );
    await search(file, '23');
    t.ok((await cells(page)).some(([goid]) => goid === '23'));
    await search(file, 'no such thing');
    t.equal(await text(page, '.empty'), 'Nothing matches.');
    await search(file, '');
    await page.click('button.sort:has-text("Id")');
    await file.settle();
    t.equal(await page.getAttribute('[role=columnheader]:has-text("Id")', 'aria-sort'), 'descending');
    const ids = (await cells(page)).map(([goid]) => Number(goid));
    t.same(
      ids,
      [...ids].sort((a, b) => b - a),
    );
    await page.click('button.sort:has-text("State")');
    await file.settle();
    const states = (await cells(page)).map(([, state = '']) => state);
    t.same(states, [...states].sort());

    await page.click('nav a:has-text("Groups")');
    await page.click('.grid-body .row:has-text("worker")');
    await page.waitForSelector('aside.detail');
    t.equal(await text(page, 'aside.detail h2'), '16 goroutines');
    await page.click('aside.detail a:has-text("Show them all")');
    await page.waitForSelector('.view-goroutines .grid-body .row');
    t.equal((await cells(page)).length, 16);
    await page.click('.grid-body .row:has-text("worker")');
    await page.waitForSelector('aside.detail .stack li');
    const [goid] = /\d+/.exec(await text(page, 'aside.detail h2')) ?? [];
    const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('stacks', 'queue.gsp', goid ?? '', '--json');
    t.same(
      await page.locator('aside.detail .stack li').allInnerTexts(),
      goroutines[0]?.frames.map(
        ({ func, file, line, inlined }) => `${func}${inlined ? 'inlined' : ''}\n${file}:${line}`,
      ),
    );
    await page.goBack();
    await file.settle();
    t.equal(await page.locator('aside.detail').count(), 0, 'the back button closes it');
    t.same(file.complaints, []);
  });

  await t.test('page: the keyboard is enough', async (t) => {
    const file = await OpenFile.open(t, browser, await pageOf(t, 'queue.gsp'), 'nav');
    const { page } = file;
    const keys = async (...names: string[]): Promise<void> => {
      for (const name of names) await page.keyboard.press(name);
      await file.settle();
    };
    const focused = (): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');
    for (let i = 0; i < 10 && (await focused()) !== 'Goroutines'; i++) await keys('Tab');
    await keys('Enter');
    t.equal(await text(page, 'nav [aria-current]'), 'Goroutines');
    await keys('/');
    await page.keyboard.type('worker');
    await keys('Tab');
    await page.waitForURL((url) => queryOf(url).get('q') === 'worker');
    for (let i = 0; i < 10 && (await page.evaluate("document.activeElement.getAttribute('role')")) !== 'grid'; i++)
      await keys('Tab');
    await keys('ArrowDown', 'ArrowDown', 'ArrowUp', 'Enter');
    const shown = (await cells(page))[1]?.[0] ?? '';
    t.equal(await focused(), `Goroutine ${shown}`, 'what is open has the focus');
    await keys('Escape');
    t.equal(await page.locator('aside.detail').count(), 0);
    t.equal(await page.evaluate("document.activeElement.getAttribute('role')"), 'grid', 'and gives it back');
    await keys('End', 'Enter');
    t.equal(await focused(), `Goroutine ${(await cells(page)).at(-1)?.[0] ?? ''}`);

    await file.go('flame');
    await page.focus('canvas');
    await keys('ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowDown');
    t.match(await text(page, '.flame .status'), /^main\.\(\*queue\)\.stats: 4 goroutines, 14\.8 %/);
    await keys('Enter');
    t.equal((await cells(page))[0]?.at(-1), 'main.(*queue).stats');
    await keys('Escape', 'Escape', 'Escape');
    t.equal((await cells(page))[0]?.at(-1), 'all goroutines');
    t.same(file.complaints, []);
  });

  await t.test('page: the flame graph, and the table of the same numbers', async (t) => {
    const file = await OpenFile.open(t, browser, await pageOf(t, 'queue.gsp'), 'nav', TALL);
    const { page } = file;
    const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('goroutines', 'queue.gsp', '--json');
    const counts = new Map<string, number>();
    for (const { frames } of goroutines) {
      const chain = frames.map(({ func }) => func).reverse();
      chain.forEach((_, depth) => {
        const key = chain.slice(0, depth + 1).join();
        counts.set(key, (counts.get(key) ?? 0) + 1);
      });
    }
    await file.go('flame');
    const rows = await cells(page);
    t.same(rows[0], ['27', '100.0 %', '0', 'all goroutines']);
    const chain: string[] = [];
    const shown = rows.slice(1).map(([count = '', , depth = '', func = '']): [string, number] => {
      chain.splice(Number(depth) - 1, Infinity, func);
      return [chain.join(), Number(count)];
    });
    t.same(new Map(shown.sort()), new Map([...counts].sort()));
    const box = await page.locator('canvas').boundingBox();
    await page.mouse.click((box?.x ?? 0) + 200, (box?.y ?? 0) + 3.5 * 20);
    await file.settle();
    t.same((await cells(page))[0]?.slice(0, 3), ['16', '59.3 %', '3'], 'a click zooms in');
    t.ok((await colours(page)).length > 1, 'functions of several packages are drawn');
    t.same(file.complaints, []);
  });

  await t.test('page: every view is accessible, on wide and narrow screens, light and dark', async (t) => {
    for (const name of ['labels.gsp', 'crash.gsp']) {
      const path = await pageOf(t, name);
      const views = name === 'crash.gsp' ? ['overview', 'scheduler'] : [...VIEWS, 'goroutines?g=1', 'groups?by=stack'];
      for (const options of [{ colorScheme: 'dark' }, { ...NARROW, colorScheme: 'light' }] as const) {
        const file = await OpenFile.open(t, browser, path, 'nav', options);
        for (const hash of views) {
          await file.go(hash);
          t.same(await file.axe(), [], `${name} ${hash} ${options.colorScheme}`);
          const beyond = await file.page
            .evaluate(`Math.max(...[document.documentElement, ...document.querySelectorAll('.view')]
            .map(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth))`);
          t.equal(beyond, 0, `${hash} is as wide as the screen`);
        }
        const back = await file.page.evaluate('getComputedStyle(document.body).backgroundColor');
        t.equal(back, options.colorScheme === 'dark' ? 'rgb(22, 25, 29)' : 'rgb(255, 255, 255)');
        t.same(file.complaints, []);
      }
    }
  });

  await t.test('page: two snapshots side by side', async (t) => {
    const file = await OpenFile.open(t, browser, await pageOf(t, 'before.gsp', 'after.gsp'), 'nav');
    const { page } = file;
    await page.click('nav a:has-text("Changes")');
    const { groups } = await ask<{ groups: { before: number; after: number }[] }>(
      'diff',
      'before.gsp',
      'after.gsp',
      '--json',
    );
    const shown = (await cells(page)).map(([, before, after]) => `${before} ${after}`).sort();
    t.same(shown, groups.map(({ before, after }) => `${before} ${after}`).sort());
    t.same(await file.axe(), []);
    const counts = await page.locator('td:text-is("goroutines") ~ td').allInnerTexts();
    t.same(counts, ['17', '18', '+1']);
    await page.click('a:text-is("Before")');
    await page.click('nav a:has-text("Goroutines")');
    t.equal(await text(page, '[role=search] [role=status]'), '17 goroutines');
    t.same(file.complaints, []);
  });

  await t.test('page: printed, a list is whole', async (t) => {
    const file = await OpenFile.open(t, browser, await pageOf(t, 'queue.gsp'), 'nav', {
      viewport: { width: 800, height: 300 },
    });
    await file.go('goroutines');
    t.ok((await cells(file.page)).length < 27);
    await file.page.emulateMedia({ media: 'print' });
    await file.settle();
    t.equal((await cells(file.page)).length, 27);
    t.equal(await file.page.locator('nav').isVisible(), false);
    t.same(file.complaints, []);
  });

  await t.test('page: a file that was cut says so', async (t) => {
    const file = await OpenFile.open(t, browser, await cutPage(t), '#page:has-text("cannot be shown")');
    t.match(await text(file.page, '#page'), /cannot be shown.*may have been cut/);
  });
}

/** A page whose data end early. */
async function cutPage(t: Test): Promise<string> {
  const path = await pageOf(t, 'queue.gsp');
  const html = readFileSync(path, 'utf8');
  writeFileSync(path, html.replace(/(id="data">.{1000})[^<]*/, '$1'));
  return path;
}
