import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { parseGoVersion } from '../../analyze/binary/go-version.js';
import { GOSPY, gospy, type Ended } from '../src/gospy-process.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { parseTraceback } from '../support/traceback.js';

/** The first minor release that is hidden. */
const HIDDEN_SINCE = 26;

interface Entry {
  readonly from: string;
  to: string;
}

/** Returns the command of a gospy that does not know the two newest releases: a copy with these removed from layouts.json. */
function olderGospy(t: Test): string {
  const folder = temporaryFolder(t);
  const root = resolve(GOSPY, '../../..');
  for (const room of ['src', 'capture', 'analyze', 'snapshots']) {
    cpSync(join(root, 'dist', room), join(folder, 'dist', room), { recursive: true });
  }
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const path = join(folder, 'dist/analyze/runtime/layouts.json');
  const table = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Entry[]>;
  const isHidden = (text: string): boolean => (parseGoVersion(`go${text}`)?.minor ?? 0) >= HIDDEN_SINCE;
  for (const [struct, entries] of Object.entries(table)) {
    const kept = entries.filter(({ from }) => !isHidden(from));
    for (const entry of kept) if (isHidden(entry.to)) entry.to = `1.${HIDDEN_SINCE - 1}.99`;
    table[struct] = kept;
  }
  writeFileSync(path, JSON.stringify(table));
  return join(folder, 'dist/src/gospy.js');
}

interface Listed {
  readonly goroutines: readonly GoroutineWithStack[];
  readonly warnings: readonly Warning[];
}

function codes({ warnings }: Listed): string[] {
  return [...new Set(warnings.map(({ code }) => code))];
}

if (requireGo(t)) {
  const command = olderGospy(t);
  const run = (...args: string[]): Promise<Ended> => gospy(args, { command });

  for (const release of ['1.26', '1.27'] as const) {
    t.test(`hidden: Go ${release}, unknown, is read exactly with its own debug information`, async (t) => {
      const target = await startGo(t, await buildGo({ fixture: 'park', release, link: 'plain' }));
      const path = join(temporaryFolder(t), 'park.gsp');
      t.match(await run('capture', '--pid', `${target.pid}`, '-o', path), { code: 0 });
      const traceback = parseTraceback(await target.quit());
      const listed = JSON.parse((await run('goroutines', path, '--json')).stdout) as Listed;
      const { differences, compared } = compareWithTraceback(listed.goroutines, traceback);
      t.same(differences, []);
      t.ok(compared.goroutines > 40);
      t.same(codes(listed), ['layout-debug-info']);
    });

    t.test(
      `hidden: Go ${release}, unknown and stripped, is read exactly with the debug information of --bin`,
      async (t) => {
        const unstripped = await buildGo({ fixture: 'park', release, link: 'plain' });
        const target = await startGo(t, await buildGo({ fixture: 'park', release, link: 'stripped' }));
        const path = join(temporaryFolder(t), 'park.gsp');
        t.match(await run('capture', '--pid', `${target.pid}`, '-o', path, '--bin', unstripped), { code: 0 });
        const traceback = parseTraceback(await target.quit());
        const listed = JSON.parse((await run('goroutines', path, '--json')).stdout) as Listed;
        t.same(compareWithTraceback(listed.goroutines, traceback).differences, []);
        t.same(codes(listed), ['layout-debug-info']);
      },
    );

    t.test(
      `hidden: Go ${release}, unknown and stripped, is read exactly with the nearest layouts, or refused`,
      async (t) => {
        const target = await startGo(t, await buildGo({ fixture: 'park', release, link: 'stripped' }));
        const path = join(temporaryFolder(t), 'park.gsp');
        const { code, stderr } = await run('capture', '--pid', `${target.pid}`, '-o', path);
        t.ok(target.alive(), 'the program still runs');
        if (code !== 0) {
          t.equal(code, 6);
          t.match(stderr, /could not be made out|has no field/);
          return;
        }
        const traceback = parseTraceback(await target.quit());
        const listed = JSON.parse((await run('goroutines', path, '--json')).stdout) as Listed;
        t.same(compareWithTraceback(listed.goroutines, traceback).differences, []);
        t.same(codes(listed), ['layout-nearest']);
      },
    );
  }
}
