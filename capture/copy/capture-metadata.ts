import type { CaptureFacts, Thread } from '../../snapshots/image.js';
import type { CaptureMode } from '../capture.js';
import type { Copy } from './copy.js';
import type { LiveProcess } from '../process/live-process.js';
import type { Stop } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracees.js';

/** What was learned of a process beside its memory, as a look at it was taken. */
export interface Taken {
  readonly threads: readonly Thread[];
  readonly facts: Omit<CaptureFacts, 'mode' | 'writer'>;
}

/** A copy of a process, and how it was taken. */
export interface Copied {
  readonly copy: Copy;
  readonly taken: Taken;
  readonly mode: CaptureMode;
}

/** For how long the process stood still, and who did not. */
export function factsOf({
  threads,
  pauseNs,
}: Stop<unknown>): Pick<CaptureFacts, 'pauseNs' | 'partial' | 'warnings' | 'torn'> {
  const moving = threads.filter((thread) => !thread.stopped);
  const warnings = moving.map(({ tid }) => ({
    code: 'thread-not-stopped',
    message: `thread ${tid} did not stop in time: what it runs may be inconsistent`,
  }));
  return { pauseNs, partial: moving.length > 0, warnings, torn: [] };
}

/** Threads with the states that they had before the stop, and the registers that they had in it. */
export function joinThreads(
  before: readonly Thread[],
  stopped: readonly StoppedThread[],
  target: LiveProcess,
): Thread[] {
  const known = new Map(before.map((thread) => [thread.tid, thread]));
  const born = stopped.some(({ tid }) => !known.has(tid)) ? new Map(target.threads().map((t) => [t.tid, t])) : known;
  return stopped.map(({ tid, registers }) => {
    const thread = known.get(tid) ?? born.get(tid) ?? { tid, namespaceTid: tid, name: '', state: '?' };
    return { ...thread, registers };
  });
}

/** Now, as the wall and the program's own clock have it. */
export function moment(): Pick<CaptureFacts, 'capturedAt' | 'monotonicNs'> {
  return { capturedAt: new Date().toISOString(), monotonicNs: process.hrtime.bigint() };
}
