import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { Runtime } from '../../analyze/report/model.js';
import { buildGo, requireGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { PANICPARSE_CELL, SEVERAL } from '../support/releases.js';
import { severalLibraries, startCHost, startGoHost, type SeveralRuntimes } from '../support/several.js';
import { gospyHere } from './gospy-here.js';

/** What every JSON document has, of the items that it lists. */
interface Document {
  readonly target: { readonly bin: string; readonly executable: string; readonly goVersion: string };
  readonly runtimes: readonly Runtime[];
  readonly [list: string]: unknown;
}

async function jsonOf(args: readonly string[]): Promise<Document> {
  const { code, stdout, stderr } = await gospyHere([...args, '--json']);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as Document;
}

async function textOf(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await gospyHere(args);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function snapshotOf(t: Test, { program }: SeveralRuntimes, name: string): Promise<string> {
  await untilQuiet(program.pid);
  const file = join(temporaryFolder(t), name);
  await textOf(['capture', '--pid', String(program.pid), '-o', file]);
  return file;
}

/** How many of the items of a list are of each runtime. */
function perRuntime(items: unknown): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { runtime } of items as readonly { runtime: number }[]) counts[runtime] = (counts[runtime] ?? 0) + 1;
  return counts;
}

if (requireGo(t)) {
  t.test('several runtimes: every document lists them, and says which one is meant', async (t) => {
    const { old } = await severalLibraries(t);
    const several = await startGoHost(t, [old]);
    const file = await snapshotOf(t, several, 'snap.gsp');
    const summary = await jsonOf(['summary', file]);
    const counts = Object.fromEntries(summary.runtimes.map(({ n, goroutines }) => [n, goroutines]));
    t.match(summary.runtimes, [
      { n: 1, file: several.path, goVersion: '1.26.8', buildId: String },
      { n: 2, file: old, goVersion: '1.19.13', buildId: String },
    ]);
    t.match(summary.target, { bin: several.path, executable: several.path, goVersion: '1.26.8' });
    t.equal((summary['goroutines'] as { total: number }).total, (counts[1] ?? 0) + (counts[2] ?? 0));
    t.same(Object.keys(perRuntime(summary['ps'])), ['1', '2']);
    for (const [command, list] of [
      ['goroutines', 'goroutines'],
      ['stacks', 'goroutines'],
      ['threads', 'threads'],
    ] as const) {
      const document = await jsonOf([command, file]);
      t.same(
        document.runtimes.map(({ n, file, goroutines }) => ({ n, file, goroutines })),
        summary.runtimes.map(({ n, file, goroutines }) => ({ n, file, goroutines })),
        command,
      );
      if (list === 'goroutines') t.same(perRuntime(document[list]), counts, command);
      else t.same(Object.keys(perRuntime(document[list])), ['1', '2'], command);
    }
    const groups = await jsonOf(['goroutines', file, '--group-by', 'start']);
    const members = (groups['groups'] as { runtime: number; count: number }[]).filter(({ runtime }) => runtime === 2);
    t.equal(
      members.reduce((sum, { count }) => sum + count, 0),
      counts[2],
    );
    t.match((await jsonOf(['info', file])).runtimes, [{ file: several.path }, { file: old }]);
    t.match(await jsonOf(['doctor', '--pid', String(several.program.pid)]), {
      runtimes: [{ file: several.path }, { file: old }],
    });
    const diff = await jsonOf(['diff', file, '--pid', String(several.program.pid)]);
    t.match(diff, {
      relation: { kind: 'same-process' },
      runtimes: [
        { n: 1, file: several.path, goroutines: { before: counts[1], after: counts[1] } },
        { n: 2, file: old, goroutines: { before: counts[2], after: counts[2] } },
      ],
      goroutines: { started: [], ended: [] },
    });
  });

  t.test('several runtimes: text names the runtime beside each goroutine', async (t) => {
    const { old } = await severalLibraries(t);
    const several = await startGoHost(t, [old]);
    const file = await snapshotOf(t, several, 'snap.gsp');
    const host = basename(several.path);
    const summary = await textOf(['summary', file]);
    const { runtimes } = await jsonOf(['summary', file]);
    t.match(summary, `bin: ${several.path}, goVer: 1.26.8, gomaxprocs: `);
    t.match(summary, `runtime 2: ${old}, goVer: 1.19.13, gomaxprocs: `);
    for (const { n, file, goroutines } of runtimes) {
      const ending = ` [runtime ${n} ${basename(file)}]`;
      const lines = summary.split('\n').filter((line) => /^\d+ - /.test(line) && line.endsWith(ending));
      t.equal(lines.length, goroutines, ending);
    }
    const heads = ['RUNTIME', `1 ${host}`, '2 old.so'];
    for (const command of ['goroutines', 'threads']) {
      // Indented lines say what the goroutine above works on.
      const lines = (await textOf([command, file]))
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('    '));
      t.same(lines.filter((line) => !heads.some((head) => line.startsWith(head))).slice(0, 1), [], command);
    }
    t.match(await textOf(['goroutines', file, '--group-by', 'start']), / \[runtime 2 old\.so\]\n {4}main\.nested /);
    t.match(await textOf(['top', file, '--once']), / 2 old\.so: main\.nested /);
    t.match(await textOf(['info', file]), new RegExp(`program +${old}, Go 1.19.13, amd64, runtime 2 with`));

    const one = await textOf(['summary', file, '--runtime', '2']);
    t.match(one, `bin: ${old}, goVer: 1.19.13, gomaxprocs: `);
    t.match(one, `executable: ${several.path}`);
    t.notMatch(one, /runtime \d/, 'with one runtime, the text is as ever');
  });

  t.test('several runtimes: panicparse reads the stacks of all', async (t) => {
    const { old } = await severalLibraries(t);
    const file = await snapshotOf(t, await startGoHost(t, [old]), 'snap.gsp');
    const stacks = await textOf(['stacks', file]);
    t.match(stacks, /^runtime 2 old\.so$/m);
    const child = spawn(await buildGo(PANICPARSE_CELL), { stdio: ['pipe', 'pipe', 'ignore'] });
    child.stdin.end(stacks);
    const parsed = JSON.parse(await text(child.stdout)) as { goid: number; frames: { func: string }[] }[];
    const { goroutines } = (await jsonOf(['stacks', file])) as unknown as { goroutines: typeof parsed };
    const idsOf = (all: typeof parsed): string[] => all.map(({ goid, frames }) => `${goid} ${frames.length}`);
    t.same(idsOf(parsed), idsOf(goroutines));
  });

  t.test('several runtimes: --runtime takes a number, a path or a name', async (t) => {
    const libraries = await severalLibraries(t);
    const folder = join(temporaryFolder(t), 'other');
    mkdirSync(folder);
    const namesake = join(folder, 'new.so');
    copyFileSync(libraries.new, namesake);
    const file = await snapshotOf(t, await startCHost(t, [libraries.new, libraries.old, namesake]), 'snap.gsp');
    const { runtimes } = await jsonOf(['summary', file]);
    t.equal(runtimes.length, 3);
    for (const { n, file: path } of runtimes) {
      for (const name of [String(n), path]) {
        const document = await jsonOf(['goroutines', file, '--runtime', name]);
        t.match(document, { target: { bin: path }, runtimes: [{ n, file: path }] });
        t.same(Object.keys(perRuntime(document['goroutines'])), [String(n)]);
      }
    }
    t.match((await jsonOf(['summary', file, '--runtime', 'old.so'])).target, { goVersion: '1.19.13' });
    for (const [name, message] of [
      ['new.so', /new\.so names 2 Go runtimes of the target/],
      ['4', /there is no Go runtime 4 in the target.* there is 1 \(/],
      ['other.so', /there is no Go runtime other\.so in the target/],
    ] as const) {
      t.match(await gospyHere(['summary', file, '--runtime', name]), { code: 2, stdout: '', stderr: message });
    }
    // Which ids a runtime gives to its own goroutines depends on the Ps on which it happens to start them.
    const all = (await jsonOf(['goroutines', file]))['goroutines'] as { goid: number; runtime: number }[];
    const runtimesWith = (id: number): number[] => all.flatMap(({ goid, runtime }) => (goid === id ? [runtime] : []));
    const goid = all.map((g) => g.goid).sort((a, b) => runtimesWith(b).length - runtimesWith(a).length)[0] ?? 0;
    const having = runtimesWith(goid);
    t.ok(having.length > 1, `${having.length} runtimes have a goroutine ${goid}`);
    const message = new RegExp(`${having.length} Go runtimes .* have a goroutine ${goid}: ${having[0] ?? 0} \\(`);
    t.match(await gospyHere(['explain', file, `${goid}`]), { code: 2, stderr: message });
    for (const runtime of having) {
      t.match(await jsonOf(['explain', file, `${goid}`, '--runtime', `${runtime}`]), { goid, runtime });
    }
    const found = (await jsonOf(['goroutines', file, '--goid', `${goid}`]))['goroutines'];
    t.same(perRuntime(found), Object.fromEntries(having.map((runtime) => [runtime, 1])));
  });

  t.test('several runtimes: --bin takes the executable and each library, and nothing else', async (t) => {
    const libraries = await severalLibraries(t);
    const several = await startCHost(t, [libraries.new, libraries.old]);
    const pid = String(several.program.pid);
    for (const bin of [several.path, libraries.new, libraries.old]) {
      const { target, runtimes } = await jsonOf(['summary', '--pid', pid, '--bin', bin]);
      t.match(target, { bin: /\/(new|old)\.so$/, executable: several.path }, bin);
      t.equal(runtimes.length, 2);
    }
    const other = await buildGo(SEVERAL.host);
    t.match(await gospyHere(['summary', '--pid', pid, '--bin', other]), {
      ...{ code: 5, stdout: '' },
      stderr: new RegExp(`is not one of the programs .*${dirname(libraries.new)}/new.so.* of the target: `),
    });
    t.match(await gospyHere(['summary', '--pid', pid, '--bin', '/bin/sh']), { code: 5, stdout: '' });
  });

  t.test('several runtimes: a library that only the later of two captures has', async (t) => {
    const libraries = await severalLibraries(t);
    const [one, two] = [await startCHost(t, [libraries.new]), await startCHost(t, [libraries.new, libraries.old])];
    const before = await snapshotOf(t, one, 'before.gsp');
    const after = await snapshotOf(t, two, 'after.gsp');
    const diff = await jsonOf(['diff', before, after]);
    const { runtimes } = await jsonOf(['summary', after]);
    const added = runtimes.find(({ file }) => file === libraries.old);
    t.match(
      diff.runtimes.find(({ file }) => file === libraries.old),
      { n: added?.n, goroutines: { before: 0, after: added?.goroutines } },
    );
    t.match(
      diff.runtimes.find(({ file }) => file === libraries.new),
      { goroutines: { before: Number, after: Number } },
    );
    t.match(
      await textOf(['diff', before, after]),
      `runtime ${added?.n ?? 0}: ${libraries.old}, Go 1.19.13, goroutines: 0 -> `,
    );
  });
}
