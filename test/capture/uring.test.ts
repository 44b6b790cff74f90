import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ThreadReport } from '../../analyze/report/model.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { gospy } from '../src/gospy-process.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { URING_CELL } from '../support/releases.js';
import { skip } from '../support/skip.js';
import { isFree, patient, until } from './targets.js';

/** How often it is stopped besides. */
const STOPS = 50;

if (requireGo(t)) {
  t.test('io_uring: what the kernel does for a program is not interrupted', async (t) => {
    const folder = temporaryFolder(t);
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const program = await startGo(t, await buildGo(URING_CELL), { args: [fifo], ready: /^(ready|refused).*\n/m });
    if (program.stdout.startsWith('refused')) {
      skip(t, 'the kernel permits no io_uring');
      return;
    }
    t.match(program.stdout, 'nop 0\n');
    const named = (start: string): number[] => threadsNamed(program.pid, start);
    await until(() => named('iou-wrk-').length > 0, 'a thread of the kernel that waits for the FIFO');
    t.equal(named('iou-sqp-').length, 1, 'and one that polls');
    const path = join(folder, 'uring.gsp');
    for (const mode of ['stop', 'clone', 'live']) {
      const words = ['capture', '--pid', String(program.pid), '-o', path, '--json', '--mode', mode];
      const { code, stdout } = await gospy(words);
      t.equal(code, 0, mode);
      t.match(JSON.parse(stdout), { mode, partial: false, warnings: [] }, mode);
      t.ok(isFree(program.pid), `the program is free after mode ${mode}`);
      const { threads } = JSON.parse((await gospy(['threads', path, '--json'])).stdout) as {
        threads: readonly ThreadReport[];
      };
      const shown = threads.filter(({ name }) => name.startsWith('iou-')).map(({ tid }) => tid);
      t.same(shown, named('iou-'), `they are listed in mode ${mode}`);
      t.notMatch(program.stdout, /opened/, `the request lasts in mode ${mode}`);
    }
    for (let stops = 0; stops < STOPS; stops++) {
      const tids = withStopped(program.pid, patient, (threads) => threads.map(({ tid }) => tid)).value;
      if (tids.some((tid) => named('iou-').includes(tid))) {
        t.fail('a thread of the kernel was stopped');
        break;
      }
    }
    closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
    await program.waitFor(/^opened \d+\n/m);
  });
}

/** The threads whose names begin so. */
function threadsNamed(pid: number, start: string): number[] {
  const tids = readdirSync(`/proc/${pid}/task`);
  return tids.filter((tid) => readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').startsWith(start)).map(Number);
}
