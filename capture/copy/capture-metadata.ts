import type { CaptureFacts, Thread } from '../../snapshots/image.js';
import type { LiveProcess } from '../process/live-process.js';
import type { Stop } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracees.js';
import type { Copies } from './copies.js';

/** What a capture learns of a process beside its memory. */
export interface CaptureMetadata {
  readonly threads: readonly Thread[];
  readonly facts: Omit<CaptureFacts, 'mode' | 'writer'>;
}

/** A copy of a process, and how it was made. */
export interface CapturedCopies {
  readonly copies: Copies;
  readonly metadata: CaptureMetadata;
}

/** How long the process stood still, and which threads did not. */
export function describeStop({
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

/** Threads with the state that they had before the stop and the registers that they had in it. */
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

/** The time now, by the wall clock and by the monotonic clock, which Go programs use too. */
export function readClocks(): Pick<CaptureFacts, 'capturedAt' | 'monotonicNs'> {
  return { capturedAt: new Date().toISOString(), monotonicNs: process.hrtime.bigint() };
}
