import type { CaptureFacts, Thread } from '../../snapshots/image.js';
import type { LiveProcess } from '../process/live-process.js';
import type { Stop } from '../ptrace/stop.js';
import { isIoWorker } from '../process/procfs.js';
import type { StoppedThread } from '../ptrace/tracee.js';
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

/**
 * How long the process stood still, and which threads did not. The registers of a thread that did not stop in time are
 * missing; what could have changed meanwhile is only what a thread that was not even asked to stop writes.
 */
export function describeStop({
  threads,
  pauseNs,
  lateThreads,
  longestLateNs,
}: Stop<unknown>): Omit<CaptureFacts, 'mode' | 'writer' | 'capturedAt' | 'monotonicNs'> {
  const unknown = threads.filter(({ registers }) => registers === null);
  const warnings = unknown.map(({ tid, interrupted }) => ({
    code: 'thread-not-stopped',
    message: interrupted
      ? `thread ${tid} did not stop in time: where it is is not known`
      : `thread ${tid} could not be stopped: what it runs may be inconsistent`,
  }));
  const partial = threads.some(({ interrupted }) => !interrupted);
  return { pauseNs, lateThreads, longestLateNs, partial, warnings, torn: [] };
}

/** Adds a warning, the first one. */
export function addWarning(
  { threads, facts }: CaptureMetadata,
  warning: CaptureFacts['warnings'][number],
): CaptureMetadata {
  return { threads, facts: { ...facts, warnings: [warning, ...facts.warnings] } };
}

/** Says why a process was not stopped that has crashed. */
export const CORE_DUMPING = {
  code: 'core-dumping',
  message:
    'the process has crashed, and was not stopped: the core that the kernel is writing could have been cut short',
} as const;

/** What is stated of a process that was not stopped. */
export const UNSTOPPED = { pauseNs: 0, lateThreads: 0, longestLateNs: 0 } as const;

/**
 * Threads with the state that they had before the stop and the registers that they had in it. Those in which the kernel does
 * I/O are not stopped, and have none.
 */
export function joinThreads(
  before: readonly Thread[],
  stopped: readonly StoppedThread[],
  target: LiveProcess,
): Thread[] {
  const known = new Map(before.map((thread) => [thread.tid, thread]));
  const born = stopped.some(({ tid }) => !known.has(tid)) ? new Map(target.threads().map((t) => [t.tid, t])) : known;
  const threads = stopped.map(({ tid, registers }) => {
    const thread = known.get(tid) ?? born.get(tid) ?? { tid, namespaceTid: tid, name: '', state: '?' };
    return { ...thread, registers };
  });
  const joined = new Set(threads.map(({ tid }) => tid));
  return [...threads, ...before.filter(({ tid }) => !joined.has(tid) && isIoWorker(target.pid, tid))];
}
