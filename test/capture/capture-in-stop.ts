import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { positionsOf } from '../../analyze/runtime/memory-ranges.js';
import { assembleImage, type Captured } from '../../capture/copy/assemble-image.js';
import { describeStop, joinThreads } from '../../capture/copy/capture-metadata.js';
import { Copies } from '../../capture/copy/copies.js';
import { makePlans, survey, type Survey } from '../../capture/copy/plan.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';

/**
 * Captures a process by a stop, with the parts that `captureToImage` is made of, and calls `inStop` as the last thing
 * before the process is let go: what that does to the process happens in the very state that was captured. Once it was let go,
 * `afterStop` may take away from what was read before.
 */
export function captureInStop(
  pid: number,
  inStop: () => void,
  afterStop = (surveyed: Survey): Survey => surveyed,
): Captured {
  const target = new LiveProcess(pid, 'stop');
  try {
    const base = target.image();
    const surveyed = survey(base, NO_DEBUG_INFO);
    const copies = new Copies(surveyed, makePlans(surveyed, target.contents()), target);
    const before = target.threads();
    const namespaceTids = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
    const clocks = target.clocks();
    copies.readAhead();
    const stop = withStopped(pid, { arch: target.arch }, (threads) => {
      copies.readStopped(positionsOf(threads, ({ tid }) => namespaceTids.get(tid) ?? tid));
      inStop();
    });
    const facts = { ...clocks, ...describeStop(stop), mode: 'stop', writer: null } as const;
    const isGone = (): boolean => !target.isSameProgram();
    return assembleImage(base, afterStop(surveyed), copies, joinThreads(before, stop.threads, target), facts, isGone);
  } finally {
    target.close();
  }
}
