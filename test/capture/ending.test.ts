import { readFileSync } from 'node:fs';
import tap, { test } from 'tap';
import { captureToImage, type CaptureMode } from '../../capture/capture.js';
import { threadState } from '../../capture/process/procfs.js';
import { Target, buildBusyGo, buildC, isFree } from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());
const busy = buildBusyGo(programs.folder);

/** What the capture says that it does as it begins to look, and as it begins to copy. */
const MOMENTS = [/^looking/, /^planning/] as const;

/** Waits without giving the event loop a turn: the capture is to go on in the very state that is waited for. */
function waitHere(condition: () => boolean): void {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  while (!condition()) Atomics.wait(nap, 0, 0, 1);
}

/** What a capture throws when something happens to its process at a certain moment. */
async function failureOf(pid: number, mode: CaptureMode, moment: RegExp, happens: () => void): Promise<unknown> {
  const progress = (doing: string): void => {
    if (moment.test(doing)) happens();
  };
  return captureToImage(pid, { mode, writer: 'test', progress }).then(
    () => undefined,
    (error: unknown) => error,
  );
}

for (const mode of ['stop', 'live'] as const) {
  for (const moment of MOMENTS) {
    test(`capture: in mode ${mode}, a process that ends (${moment.source}) is no process any more`, async (t) => {
      const target = await Target.start(busy);
      t.teardown(() => target.end());
      const error = await failureOf(target.pid, mode, moment, () => {
        process.kill(target.pid, 'SIGKILL');
        waitHere(() => threadState(target.pid, target.pid) === 'Z');
      });
      t.match(error, { exitCode: 3 });
    });
  }

  test(`capture: in mode ${mode}, a process that becomes another one is said to have done so`, async (t) => {
    const target = await Target.start(busy);
    t.teardown(() => target.end());
    const error = await failureOf(target.pid, mode, /^planning/, () => {
      process.kill(target.pid, 'SIGUSR2');
      waitHere(() => readFileSync(`/proc/${target.pid}/comm`, 'utf8') === 'sleep\n');
    });
    t.match(error, { exitCode: 3, message: /became another program/ });
    t.ok(isFree(target.pid));
  });
}
