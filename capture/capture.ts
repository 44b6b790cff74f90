import { writeSnapshot } from '../snapshots/gsp/write.js';
import type { GoProgram } from '../analyze/program.js';
import { standing } from '../analyze/runtime/extents.js';
import type { CaptureFacts, ImageWarning, Thread } from '../snapshots/image.js';
import { NO_DEBUG_INFO, type DebugInfo } from '../analyze/runtime/layouts.js';
import { Copy } from './copy.js';
import { collectGarbage } from './garbage.js';
import { finish, type Captured } from './finish.js';
import { makePlan, survey } from './plan.js';
import { LiveProcess } from './process.js';
import { rehearseStop } from './rehearsal.js';
import { withStopped } from './stop.js';
import type { StoppedThread } from './tracees.js';

/** How to get a consistent look: while the process stands still, or without any stop. */
export type CaptureMode = 'stop' | 'live';

export interface CaptureOptions {
  readonly mode: CaptureMode;
  /** For how many milliseconds the process may stand still: what is not copied by then is said to be missing. */
  readonly budgetMs?: number;
  /** gospy's own version, kept in the snapshot. */
  readonly writer: string;
  /** Told what is being done, for a progress line; never called in the stop. */
  readonly progress?: (doing: string) => void;
  /** Asked for struct layouts where the release is not known and the executable does not have them. */
  readonly debugInfo?: DebugInfo;
  /** Is shown the program before anything is stopped, and refuses it by throwing. */
  readonly inspect?: (program: GoProgram) => void;
  /** Gives up at the next step, with nothing left behind. */
  readonly signal?: AbortSignal;
}

/** What `gospy capture --json` prints. */
export interface CaptureReport {
  readonly path: string;
  readonly pid: number;
  readonly goVersion: string;
  readonly mode: CaptureMode;
  readonly pauseNs: number;
  /** Goroutines that had not ended. */
  readonly goroutines: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly threads: number;
  readonly partial: boolean;
  readonly warnings: readonly ImageWarning[];
}

/** Rounds of the copy before the stop, and for how long at most. */
const WARM_UP_ROUNDS = 20;
const WARM_UP_MS = 100;
/** Looks without a stop until nothing moved, at most so often; whoever moved in the last one is torn. */
const LIVE_TRIES = 4;

/** Captures a running Go process into a snapshot. Throws GospyError; nothing is left behind then. */
export async function captureToFile(pid: number, path: string, options: CaptureOptions): Promise<CaptureReport> {
  const captured = await captureToImage(pid, options);
  options.signal?.throwIfAborted();
  options.progress?.(`writing ${path}`);
  const { image } = captured;
  const content = { image, memory: captured.groups };
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const { bytesWritten } = await writeSnapshot(path, content, signal);
  const { mode, pauseNs, partial, warnings } = image.capture;
  return {
    path,
    pid,
    goVersion: captured.program.version.text,
    mode: mode === 'live' ? 'live' : 'stop',
    pauseNs: pauseNs ?? 0,
    goroutines: [...captured.program.goroutines()].length,
    bytesRead: captured.bytesRead,
    bytesWritten,
    threads: image.threads.length,
    partial,
    warnings: [...warnings, ...captured.program.warnings],
  };
}

/** Captures a running Go process into memory. Throws GospyError. */
export async function captureToImage(
  pid: number,
  options: CaptureOptions,
): Promise<Captured & { readonly bytesRead: number }> {
  options.progress?.(`looking at process ${pid}`);
  const target = new LiveProcess(pid, options.mode === 'stop' ? 'stop' : 'read');
  try {
    return await captureFrom(target, options);
  } catch (error) {
    // Whatever was found in a process that is no more says nothing of it.
    if (options.signal?.aborted !== true) target.assertUnchanged(error);
    throw error;
  }
}

async function captureFrom(
  target: LiveProcess,
  options: CaptureOptions,
): Promise<Captured & { readonly bytesRead: number }> {
  const base = target.image();
  const structs = options.debugInfo ?? NO_DEBUG_INFO;
  const surveyed = survey(base, (names) => {
    const own = target.structs(names);
    return own.size > 0 ? own : structs(names);
  });
  options.inspect?.(surveyed.program);
  options.signal?.throwIfAborted();
  if (options.mode === 'stop') await rehearseStop();
  options.signal?.throwIfAborted();
  options.progress?.('planning');
  const plan = makePlan(surveyed, target.memory());
  const copy = new Copy(plan, target);
  const taken = options.mode === 'stop' ? copyStopped(target, copy, options.budgetMs) : copyLive(target, copy);
  options.signal?.throwIfAborted();
  options.progress?.('making sense of what was read');
  const facts: CaptureFacts = { ...taken.facts, mode: options.mode, writer: options.writer };
  return { ...finish(base, copy, taken.threads, facts), bytesRead: copy.sizeBytes };
}

interface Taken {
  readonly threads: readonly Thread[];
  readonly facts: Omit<CaptureFacts, 'mode' | 'writer'>;
}

function copyStopped(target: LiveProcess, copy: Copy, budgetMs: number | undefined): Taken {
  warmUp(copy);
  const before = target.threads();
  const nested = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
  const at = moment();
  collectGarbage();
  copy.readAhead();
  const options = { arch: target.arch, ...(budgetMs === undefined ? {} : { budgetMs }) };
  const stop = withStopped(target.pid, options, (threads, deadline) => {
    target.assertSameProgram();
    return copy.readStopped(
      threads.flatMap(({ tid, registers }) =>
        registers === null ? [] : [standing(nested.get(tid) ?? tid, registers)],
      ),
      deadline,
    );
  });
  const threads = joinThreads(before, stop.threads, target);
  const unchecked = stop.value;
  const moving = stop.threads.filter((thread) => !thread.stopped);
  const warnings = [
    ...moving.map(({ tid }) => ({
      code: 'thread-not-stopped',
      message: `thread ${tid} did not stop in time: what it runs may be inconsistent`,
    })),
    ...(unchecked === null ? [] : [overBudget(unchecked.length, budgetMs ?? 0)]),
  ];
  const partial = warnings.length > 0;
  return { threads, facts: { ...at, pauseNs: stop.pauseNs, partial, warnings, torn: unchecked ?? [] } };
}

function overBudget(count: number, budgetMs: number): ImageWarning {
  return {
    code: 'over-budget',
    message:
      `the budget of ${budgetMs} ms ended before everything was copied: ${count} goroutines are marked as torn, ` +
      'since they are as they were shortly before the stop, and what they wait for may be missing',
  };
}

/** Runs the code of the stop until it is compiled: what was never run costs ten times as much. */
function warmUp(copy: Copy): void {
  const until = performance.now() + WARM_UP_MS;
  for (let i = 0; i < WARM_UP_ROUNDS && performance.now() < until; i++) {
    copy.readAhead();
    copy.readStopped([]);
  }
}

/** Threads with the states that they had before the stop, and the registers that they had in it. */
function joinThreads(before: readonly Thread[], stopped: readonly StoppedThread[], target: LiveProcess): Thread[] {
  const known = new Map(before.map((thread) => [thread.tid, thread]));
  const born = stopped.some(({ tid }) => !known.has(tid)) ? new Map(target.threads().map((t) => [t.tid, t])) : known;
  return stopped.map(({ tid, registers }) => {
    const thread = known.get(tid) ?? born.get(tid) ?? { tid, namespaceTid: tid, name: '', state: '?' };
    return { ...thread, registers };
  });
}

function copyLive(target: LiveProcess, copy: Copy): Taken {
  const threads = target.threads();
  let torn: CaptureFacts['torn'] = [];
  let at = moment();
  for (let tries = 0; tries < LIVE_TRIES; tries++) {
    at = moment();
    copy.readAhead();
    torn = copy.completeLive();
    if (torn.length === 0) break;
  }
  return { threads, facts: { ...at, pauseNs: 0, partial: false, warnings: [], torn } };
}

function moment(): Pick<CaptureFacts, 'capturedAt' | 'monotonicNs'> {
  return { capturedAt: new Date().toISOString(), monotonicNs: process.hrtime.bigint() };
}
