import { writeSnapshot } from '../snapshots/gsp/write.js';
import type { Addr } from '../snapshots/address.js';
import type { GoProgram } from '../analyze/program.js';
import { standing } from '../analyze/runtime/memory-ranges.js';
import type { CaptureFacts, ImageWarning } from '../snapshots/image.js';
import { NO_DEBUG_INFO, type DebugInfo } from '../analyze/runtime/layouts.js';
import { Copy } from './copy/copy.js';
import { lowerPriority } from './ptrace/priority.js';
import { collectGarbage } from './ptrace/garbage.js';
import { assembleImage, type Captured } from './copy/assemble-image.js';
import { copyClone, type CloneRefused } from './clone/clone-capture.js';
import { withNativeFunctions } from './process/native-code.js';
import { makePlan, survey, type Survey } from './copy/plan.js';
import { LiveProcess } from './process/live-process.js';
import { warmUpStop } from './clone/warm-up.js';
import { withStopped } from './ptrace/stop.js';
import type { StoppedThread } from './ptrace/tracees.js';
import { factsOf, joinThreads, moment, type Copied, type Taken } from './copy/capture-metadata.js';

/** How to get a consistent look: while the process stands still, from a frozen clone of it, or without any stop. */
export type CaptureMode = 'stop' | 'clone' | 'live';

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
  const comeBack = lowerPriority();
  try {
    return await written(pid, path, options);
  } finally {
    comeBack();
  }
}

async function written(pid: number, path: string, options: CaptureOptions): Promise<CaptureReport> {
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
    mode: mode === 'core' ? 'stop' : mode,
    pauseNs: pauseNs ?? 0,
    goroutines: captured.program.goroutineCount,
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
  const target = new LiveProcess(pid, options.mode === 'live' ? 'read' : 'stop');
  const comeBack = lowerPriority();
  try {
    return await captureFrom(target, options);
  } catch (error) {
    // Whatever was found in a process that is no more says nothing of it.
    if (options.signal?.aborted !== true) target.assertUnchanged(error);
    throw error;
  } finally {
    comeBack();
    target.close();
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
  const { copy, taken, mode } = await copied(target, surveyed, options);
  options.signal?.throwIfAborted();
  options.progress?.('making sense of what was read');
  const facts: CaptureFacts = { ...taken.facts, mode, writer: options.writer };
  const isGo = (pc: number): boolean => surveyed.program.index.at(pc) !== null;
  const threads = withNativeFunctions(taken.threads, target.pid, target.mappings, isGo);
  return { ...assembleImage(base, copy, threads, facts), bytesRead: copy.sizeBytes };
}

/** The copy in the mode that was asked for; of a process that cannot be cloned, that of a stop. */
async function copied(target: LiveProcess, surveyed: Survey, options: CaptureOptions): Promise<Copied> {
  const { mode, signal, progress } = options;
  let refused: CloneRefused | null = null;
  if (mode === 'clone') {
    progress?.('cloning');
    const cloned = await copyClone(target, surveyed, signal);
    if ('copy' in cloned) return cloned;
    refused = cloned;
    signal?.throwIfAborted();
  }
  progress?.('planning');
  const copy = new Copy(makePlan(surveyed, target.memory()), target);
  if (mode === 'live') return { copy, taken: copyLive(target, copy), mode };
  const taken = await copyStopped(target, copy, options);
  return { copy, taken: refused === null ? taken : afterRefusal(taken, refused), mode: 'stop' };
}

/** A stop that came in place of a clone: the process has stood still for both. */
function afterRefusal({ threads, facts }: Taken, { reason, pauseNs }: CloneRefused): Taken {
  const warning = { code: 'clone-refused', message: `the process was stopped in place of being cloned: ${reason}` };
  const warnings = [warning, ...facts.warnings];
  return { threads, facts: { ...facts, warnings, pauseNs: (facts.pauseNs ?? 0) + pauseNs } };
}

async function copyStopped(target: LiveProcess, copy: Copy, { budgetMs, signal }: CaptureOptions): Promise<Taken> {
  warmUp(copy);
  const before = target.threads();
  const nested = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
  const look = (threads: readonly Pick<StoppedThread, 'tid' | 'registers'>[], deadline: number): Addr[] | null => {
    target.assertSameProgram();
    return copy.readStopped(
      threads.flatMap(({ tid, registers }) =>
        registers === null ? [] : [standing(nested.get(tid) ?? tid, registers)],
      ),
      deadline,
    );
  };
  await warmUpStop(({ registers }) =>
    look(
      before.map(({ tid }) => ({ tid, registers })),
      Infinity,
    ),
  );
  signal?.throwIfAborted();
  const at = moment();
  collectGarbage();
  copy.readAhead();
  const options = { arch: target.arch, ...(budgetMs === undefined ? {} : { budgetMs }) };
  const stop = withStopped(target.pid, options, look);
  const threads = joinThreads(before, stop.threads, target);
  const unchecked = stop.value;
  const facts = { ...at, ...factsOf(stop) };
  if (unchecked === null) return { threads, facts };
  const warnings = [...facts.warnings, overBudget(unchecked.length, budgetMs ?? 0)];
  return { threads, facts: { ...facts, partial: true, warnings, torn: unchecked } };
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
