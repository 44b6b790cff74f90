import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import t, { type Test } from 'tap';
import type { Group } from '../../analyze/report/groups.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { OpenFile, requireBrowser } from '../support/browser.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { LONG_NAME, ODD_CELL } from '../support/odd.js';
import { severalLibraries, startGoHost } from '../support/several.js';
import { gospy } from './gospy-process.js';
import { ask, cells, pageOf, TALL, text, VIEWS } from './html-page.js';

/** Pages of processes that tests start, in a browser. */

const browser = requireGo(t) ? await requireBrowser(t) : null;
if (browser !== null) await drive(t, browser);

async function drive(t: Test, browser: Browser): Promise<void> {
  await t.test('page: hostile names arrive as text', async (t) => {
    const program = await startGo(t, await buildGo(ODD_CELL));
    const labels = JSON.parse(program.stdout.replace(/^ready /, '')) as object;
    const path = join(temporaryFolder(t), '<b>odd\u202e.gsp');
    t.match(await gospy(['capture', '--pid', String(program.pid), '-o', path]), { code: 0 });
    const file = await OpenFile.open(t, browser, await pageOf(t, path), 'nav', TALL);
    const { page } = file;
    await file.go('goroutines?own=no&q=chan+receive');
    t.equal((await cells(page)).length, 3);
    await page.click('.grid-body .row');
    await page.waitForSelector('aside.detail');
    const facts = await page.locator('aside.detail .fact').allTextContents();
    for (const [name, value] of Object.entries(labels) as [string, string][]) {
      t.ok(facts.includes(`Label ${visible(name)}${visible(value)}`), visible(name));
    }
    const seen: string[] = [];
    for (const row of [0, 1, 2]) {
      await page.locator('.grid-body .row').nth(row).click();
      await file.settle();
      seen.push(...(await page.locator('aside.detail .stack .func, aside.detail .stack .file').allTextContents()));
    }
    for (const name of ['main.__proto__', 'main.constructor', `main.${LONG_NAME}`])
      t.ok(seen.includes(name), name.slice(0, 20));
    t.ok(seen.some((one) => one.startsWith('/src/</script><img src=x onerror=alert(1)>/"__proto__".go:')));
    for (const name of Object.keys(labels)) {
      await file.go(`groups?${new URLSearchParams({ by: `label:${name}` }).toString()}`);
      t.same(
        (await cells(page)).map(([count]) => count).sort(),
        ['3', String(await others(path))].sort(),
        visible(name),
      );
    }
    for (const hash of [...VIEWS, 'goroutines?g=1']) {
      await file.go(hash);
      t.same(await file.axe(), [], hash);
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, hash);
      const shown = await page.evaluate<string>('document.documentElement.innerText + document.title');
      t.notMatch(shown, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/, hash);
    }
    t.equal(await page.locator('img, b').count(), 0);
    t.equal(await page.evaluate('({}).polluted'), undefined);
    t.same(file.complaints, []);
  });

  await t.test('page: goroutines of several runtimes are told apart', async (t) => {
    const libraries = await severalLibraries(t);
    const { program } = await startGoHost(t, [libraries.old, libraries.new]);
    const path = join(temporaryFolder(t), 'several.gsp');
    t.match(await gospy(['capture', '--pid', String(program.pid), '-o', path]), { code: 0 });
    const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('goroutines', path, '--json');
    const { groups } = await ask<{ groups: Group[] }>('goroutines', path, '--json', '--group-by', 'wait');
    const file = await OpenFile.open(t, browser, await pageOf(t, path), 'nav', TALL);
    const { page } = file;
    await file.go('groups?by=wait');
    t.same(
      (await cells(page)).map(([count]) => Number(count)),
      groups.map(({ count }) => count),
    );
    for (const n of [1, 2, 3]) {
      const own = goroutines.filter(({ runtime }) => runtime === n);
      // Which ids a runtime gives to its own goroutines depends on the Ps on which it happens to start them.
      const shared = own.find(({ goid }) => goroutines.some((other) => other.goid === goid && other.runtime !== n));
      const { goid = 0, frames = [] } = shared ?? own[0] ?? {};
      await file.go(`goroutines?g=${goid}&r=${n}`);
      t.equal(
        await page.locator('aside.detail .stack .func').first().innerText(),
        frames[0]?.func,
        `goroutine ${goid} of runtime ${n}`,
      );
      t.match(await text(page, 'aside.detail .fact:last-of-type'), new RegExp(`Runtime\\s+${n} `));
    }
    for (const hash of ['overview', 'scheduler']) {
      await file.go(hash);
      t.same(await file.axe(), [], hash);
    }
    t.same(file.complaints, []);
  });

  await t.test('page: each thing that a goroutine works on has a line', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'working', release: '1.27', link: 'stripped' }));
    const path = join(temporaryFolder(t), 'working.gsp');
    t.match(await gospy(['capture', '--pid', String(program.pid), '-o', path]), { code: 0 });
    const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('goroutines', path, '--json');
    // Channels, locks and timers are shown as what it waits on.
    const [most] = goroutines
      .map(({ goid, work }) => ({ goid, work: work.filter(({ kind }) => !/^(chan|lock|timer)$/.test(kind)) }))
      .sort((a, b) => b.work.length - a.work.length);
    t.equal(most?.work.length, 2);
    const file = await OpenFile.open(t, browser, await pageOf(t, path), 'nav', TALL);
    await file.go(`goroutines?g=${most?.goid}`);
    const facts = await file.page.locator('aside.detail .fact').allTextContents();
    t.same(
      facts.filter((fact) => fact.startsWith('Works on')),
      most?.work.map(({ kind, text, sure }) => `Works on${kind}: ${sure ? '' : 'probably '}${text}`),
    );
    t.same(file.complaints, []);
  });

  await t.test('page: of a live process, by itself and after a snapshot', async (t) => {
    const program = await startGo(t, await buildGo(ODD_CELL));
    const folder = temporaryFolder(t);
    const [snapshot, path] = [join(folder, 'a.gsp'), join(folder, 'page.html')];
    const pid = ['--pid', String(program.pid)];
    t.match(await gospy(['capture', ...pid, '-o', snapshot]), { code: 0 });
    t.match(await gospy(['export', ...pid, '--format', 'html', '-o', path]), { code: 0 });
    const live = await OpenFile.open(t, browser, path, 'nav');
    t.match(await text(live.page, 'header'), `process ${program.pid}`);
    t.match(await gospy(['export', snapshot, ...pid, '--format', 'html', '-o', path]), { code: 0 });
    const both = await OpenFile.open(t, browser, path, 'nav');
    await both.go('changes');
    t.match(await text(both.page, '.note'), /Two captures of one process/);
    t.same([...live.complaints, ...both.complaints], []);
  });

  await t.test('page: of many goroutines only those that can be seen are drawn', async (t) => {
    const many = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
    const program = await startGo(t, many, { args: ['-n', '20000'] });
    const path = join(temporaryFolder(t), 'many.gsp');
    t.match(await gospy(['capture', '--pid', String(program.pid), '-o', path]), { code: 0 });
    const { goroutines } = await ask<{ goroutines: { total: number } }>('summary', path, '--json');
    const file = await OpenFile.open(t, browser, await pageOf(t, path), 'nav');
    const { page } = file;
    await file.go('goroutines');
    t.equal(await page.getAttribute('[role=grid]', 'aria-rowcount'), String(goroutines.total + 1));
    await page.focus('[role=grid]');
    await page.keyboard.press('End');
    await file.settle();
    const rows = page.locator('.grid-body .row');
    t.equal(await rows.last().getAttribute('aria-rowindex'), String(goroutines.total + 1));
    t.ok((await rows.count()) < 100);
    await page.keyboard.press('Enter');
    await page.waitForSelector('aside.detail .stack li');
    t.same(file.complaints, []);
  });
}

/** How a page shows what cannot be seen. */
function visible(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}

/** How many goroutines have no labels. */
async function others(path: string): Promise<number> {
  const { goroutines } = await ask<{ goroutines: GoroutineWithStack[] }>('goroutines', path, '--json');
  return goroutines.filter(({ labels }) => Object.keys(labels).length === 0).length;
}
