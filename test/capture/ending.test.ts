import tap, { test } from 'tap';
import { captureToImage, type CaptureMode } from '../../capture/capture.js';
import { Target, buildBusyGo, buildC, isAnew, isFree, isSleep, isZombie, waitHere } from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());
const busy = buildBusyGo(programs.folder);

/** What the capture reports when it begins to look, and when it begins to copy. */
const MOMENTS = [/^looking/, /^planning/] as const;

/** What a capture throws if something happens to its process at a certain moment. */
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
    test(`capture: in mode ${mode}, a process that ends (${moment.source}) gives exit code 3`, async (t) => {
      const target = await Target.start(busy);
      t.teardown(() => target.end());
      const error = await failureOf(target.pid, mode, moment, () => {
        process.kill(target.pid, 'SIGKILL');
        waitHere(() => isZombie(target.pid));
      });
      t.match(error, { exitCode: 3 });
    });
  }

  test(`capture: in mode ${mode}, a process that becomes another program is reported as such`, async (t) => {
    const target = await Target.start(busy);
    t.teardown(() => target.end());
    const error = await failureOf(target.pid, mode, /^planning/, () => {
      process.kill(target.pid, 'SIGUSR2');
      waitHere(() => isSleep(target.pid));
    });
    t.match(error, { exitCode: 3, message: /became another program/ });
    t.ok(isFree(target.pid));
  });

  test(`capture: in mode ${mode}, a program that was started anew in its process is reported as such`, async (t) => {
    const target = await Target.start(busy, busy);
    t.teardown(() => target.end());
    const error = await failureOf(target.pid, mode, /^planning/, () => {
      process.kill(target.pid, 'SIGUSR2');
      waitHere(() => isAnew(target.pid));
    });
    t.match(error, { exitCode: 3, message: /became another program/ });
    t.ok(isFree(target.pid));
  });
}
