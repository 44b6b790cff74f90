import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { GoroutineWithStack, ThreadReport } from '../../analyze/report/model.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { gospy } from './gospy-process.js';

/** Names that C libraries give to the function that the fixture's C code blocks in. */
const READ = /^(__GI_)?_*(libc_)?read(_cancel)?$/;

if (requireGo(t)) {
  for (const release of ['1.12', '1.26'] as const) {
    t.test(
      `threads: every M with its thread, its goroutine and where it is, C code by name (go${release})`,
      async (t) => {
        const program = await startGo(t, await buildGo({ fixture: 'park', release, link: 'cgo' }));
        await untilQuiet(program.pid);
        const path = join(temporaryFolder(t), 'park.gsp');
        const tids = readdirSync(`/proc/${program.pid}/task`).map(Number);
        t.equal((await gospy(['capture', '--pid', String(program.pid), '-o', path])).code, 0);
        await program.kill();
        const { threads } = JSON.parse((await gospy(['threads', path, '--json'])).stdout) as {
          threads: ThreadReport[];
        };
        const { goroutines } = JSON.parse((await gospy(['goroutines', path, '--json'])).stdout) as {
          goroutines: GoroutineWithStack[];
        };
        t.same(threads.map(({ tid }) => tid).sort(byNumber), tids.sort(byNumber), 'all threads');
        for (const { goid, thread } of goroutines) {
          if (thread === null) continue;
          const found = threads.find(({ tid }) => tid === thread.tid);
          t.match(found, { m: thread.m, goid }, `goroutine ${goid} is on its thread`);
        }
        for (const { tid, m, frames, truncated } of threads) {
          t.ok(frames.length > 0, `thread ${tid} stands somewhere`);
          if (m !== null) t.equal(truncated, null, `M ${m}: ${frames.map(({ func }) => func).join(' < ')}`);
        }
        const inC = threads.find(({ frames }) => frames.some(({ func }) => func === 'main._Cfunc_blockInC'));
        t.match(inC?.frames[0]?.func, READ, `${inC?.frames[0]?.func ?? '?'} in ${inC?.frames[0]?.file ?? '?'}`);
        const { stdout } = await gospy(['threads', path], { env: { COLUMNS: '80' } });
        t.equal(stdout.split('\n').length, threads.length + 2, 'one line a thread, and the head');
      },
    );
  }
}

function byNumber(a: number, b: number): number {
  return a - b;
}
