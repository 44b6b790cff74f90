import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import type { GoroutineWithStack, ThreadReport } from '../../analyze/report/model.js';
import { gospy, GOSPY } from '../src/gospy-process.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { CTHREADS_CELL } from '../support/releases.js';
import { isFree } from './targets.js';

const THREADS = 1000;
/** Fewer open files than threads. */
const FILES = 256;
/** Names that C libraries give to the function that the threads wait in. */
const PAUSE = /^(__GI_)?_*(libc_)?pause$/;

if (requireGo(t)) {
  t.test(`capture: ${THREADS} threads in C code, in every mode, with ${FILES} open files`, async (t) => {
    const program = await startGo(t, await buildGo(CTHREADS_CELL), { args: [String(THREADS)] });
    await untilQuiet(program.pid);
    const tids = readdirSync(`/proc/${program.pid}/task`).map(Number);
    t.ok(tids.length > THREADS);
    const path = join(temporaryFolder(t), 'cthreads.gsp');
    for (const mode of ['live', 'clone', 'stop']) {
      const words = ['capture', '--pid', String(program.pid), '-o', path, '--json', '--mode', mode];
      const command = `ulimit -n ${FILES}; exec "$0" "$@"`;
      const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, GOSPY, ...words]);
      const report = JSON.parse(stdout) as { mode: string; threads: number; warnings: readonly { code: string }[] };
      t.match(report, { mode, threads: tids.length }, mode);
      t.notOk(
        report.warnings.some(({ code }) => code === 'clone-refused'),
        `mode ${mode} is not refused`,
      );
      t.ok(isFree(program.pid), `the program is free after mode ${mode}`);
    }
    const { threads } = JSON.parse((await gospy(['threads', path, '--json'])).stdout) as {
      threads: ThreadReport[];
    };
    const { goroutines } = JSON.parse((await gospy(['goroutines', path, '--json'])).stdout) as {
      goroutines: GoroutineWithStack[];
    };
    t.same(threads.map(({ tid }) => tid).sort(byNumber), tids.sort(byNumber), 'all threads');
    const napping = threads.filter(({ frames }) => frames.some(({ func }) => func === 'main._Cfunc_nap'));
    t.equal(napping.length, THREADS, 'each is in its C call');
    t.same(
      napping.filter(({ frames: [innermost] }) => !PAUSE.test(innermost?.func ?? '')),
      [],
      'and in the function of the C library',
    );
    const ofThread = new Map(goroutines.flatMap(({ goid, thread }) => (thread === null ? [] : [[thread.tid, goid]])));
    t.same(
      napping.filter(({ tid, goid }) => goid === null || ofThread.get(tid) !== goid),
      [],
      'with its goroutine',
    );
    t.equal(goroutines.filter(({ entry }) => entry?.func === 'main.nap').length, THREADS);
  });
}

function byNumber(a: number, b: number): number {
  return a - b;
}
