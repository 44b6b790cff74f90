import { setTimeout } from 'node:timers/promises';
import { writeSnapshot, type WriteOptions } from '../snapshots/gsp/write.js';
import type { Addr } from '../snapshots/address.js';
import { countLeaks, type LeakCount } from '../analyze/leaks/verdicts.js';
import type { LeakProof } from '../snapshots/leak-proof.js';
import type { DecoderSpec, ValueLevel } from '../snapshots/work.js';
import type { Programs } from '../analyze/program.js';
import { runtimesOf, warningsOf } from '../analyze/report/all-runtimes.js';
import type { Runtime } from '../analyze/report/model.js';
import { positionsOf, type ThreadPosition } from '../analyze/runtime/memory-ranges.js';
import type { CaptureFacts, ImageWarning } from '../snapshots/image.js';
import type { Warning } from '../analyze/warnings.js';
import { NO_DEBUG_INFO, type DebugInfo } from '../analyze/runtime/layouts.js';
import { copyClone, type CloneRefused, type FrozenPrograms } from './clone/clone-capture.js';
import { assembleImage, type Captured } from './copy/assemble-image.js';
import {
  CORE_DUMPING,
  UNSTOPPED,
  addWarning,
  describeStop,
  joinThreads,
  type CapturedCopies,
  type CaptureMetadata,
} from './copy/capture-metadata.js';
import { Copies } from './copy/copies.js';
import { copyFrozen } from './copy/frozen-copy.js';
import { planLive, surveyLive } from './copy/look-again.js';
import { hasNewModules, type Survey } from './copy/plan.js';
import type { Packing } from './copy/stored-stacks.js';
import { WorkSurvey } from './copy/work-survey.js';
import { assertRoom } from './memory-estimate.js';
import { LiveProcess } from './process/live-process.js';
import { withNativeFunctions } from './process/native-code.js';
import { nameVariables } from './process/variable-names.js';
import { assertOwnProc } from './process/own-proc.js';
import { readStatus } from './process/procfs.js';
import { collectGarbage } from './ptrace/garbage.js';
import { optimizeEarly, optimizeLate, untilCompiled } from './ptrace/optimize.js';
import { Prover, withoutProof, type LeakOptions } from './prover.js';
import { lowerPriority, reviewPriority } from './ptrace/priority.js';
import { withStopped } from './ptrace/stop.js';
import type { StoppedThread } from './ptrace/tracee.js';
import { warmUpStop } from './ptrace/warm-up.js';

/** How to get a consistent image: while the process stands still, from a frozen clone of it, or without any stop. */
export type CaptureMode = 'stop' | 'clone' | 'live';

export interface CaptureOptions {
  readonly mode: CaptureMode;
  /** How long the process may stand still, in milliseconds. What is not copied by then is reported as missing. */
  readonly budgetMs?: number;
  /** gospy's own version, kept in the snapshot. */
  readonly writer: string;
  /** Called with what is being done, and how many bytes of it are done where that is known. Never called in the stop. */
  readonly progress?: (doing: string, bytes?: number) => void;
  /** Asked for struct layouts if the release is not known and the executable has no debug information. */
  readonly debugInfo?: DebugInfo;
  /** Called with the programs before anything is stopped; refuses it by throwing. */
  readonly inspect?: (programs: Programs) => void;
  /** Aborts the capture at its next step, with nothing left behind. */
  readonly signal?: AbortSignal;
  /** Proves in a clone of the process which goroutines are leaked, if mode is `clone`. */
  readonly leaks?: LeakOptions;
  /** How much is kept of the values that goroutines work on; all unless given. */
  readonly values?: ValueLevel;
  /** Decoders of the user's own for these values. */
  readonly decoders?: readonly DecoderSpec[];
  /** When stacks are packed ahead: only if they are many unless given. */
  readonly packing?: Packing;
  /** Takes the bytes of the snapshot, in place of a file. */
  readonly write?: WriteOptions['write'];
}

/** What `gospy capture --json` prints. */
export interface CaptureReport {
  readonly path: string;
  readonly pid: number;
  readonly goVersion: string;
  readonly mode: CaptureMode;
  readonly pauseNs: number;
  /** Threads that had not trapped when the copy was done, and for how long one of them stood still at most. */
  readonly lateThreads: number;
  readonly longestLateNs: number;
  /** Goroutines that had not ended. */
  readonly goroutines: number;
  readonly runtimes: readonly Runtime[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly threads: number;
  readonly partial: boolean;
  /** Of the blocked goroutines those that are leaked; null if that was not asked for, or could not be proved. */
  readonly leaks: LeakCount | null;
  readonly warnings: readonly Warning[];
}

/** The copy is rehearsed so many times before the stop, but not for longer than this in milliseconds. */
const WARM_UP_ROUNDS = 20;
/** ... and once more, after other work. */
const AGAIN_ROUNDS = 8;
const WARM_UP_MS = 100;
/** Threads whose stacks are read in the rehearsal as those of late threads are. */
const LATE_REHEARSED = 4;
/** The plan is made again while a process outgrows it, but not more often. */
const MAX_PLANS = 4;
/** For a proof, a clone is tried so often: on a busy machine threads come late. Milliseconds up to the second try; then twice as many. */
const PROOF_TRIES = 6;
const BETWEEN_TRIES_MS = 20;
/** Without a stop, the copy is made again until nothing moves, but not more often. What moved in the last one is torn. */
const LIVE_TRIES = 4;
/** ... or until it took so many milliseconds, ... */
const LIVE_MS = 500;
/** ... or until no part of the lists of goroutines and Ms is missing, but not more often. */
const LIVE_MOST_TRIES = 12;

/** Captures a running Go process into a snapshot file. Throws GospyError, and leaves nothing behind then. */
export async function captureToFile(pid: number, path: string, options: CaptureOptions): Promise<CaptureReport> {
  assertOwnProc();
  const restorePriority = lowerPriority();
  try {
    return await captureAndWrite(pid, path, options);
  } finally {
    restorePriority();
  }
}

async function captureAndWrite(pid: number, path: string, options: CaptureOptions): Promise<CaptureReport> {
  const captured = await captureToImage(pid, { ...options, packing: 'always' });
  options.signal?.throwIfAborted();
  begin(options, `writing ${path}`);
  const { image } = captured;
  const content = { image, memory: captured.groups };
  const { bytesWritten } = await writeSnapshot(path, content, options);
  const { mode, pauseNs, lateThreads, longestLateNs, partial } = image.capture;
  const { programs } = captured;
  const runtimes = runtimesOf(programs, captured.goroutines);
  return {
    path,
    pid,
    goVersion: programs[0].version.text,
    mode: mode === 'core' ? 'stop' : mode,
    pauseNs: pauseNs ?? 0,
    lateThreads: lateThreads ?? 0,
    longestLateNs: longestLateNs ?? 0,
    goroutines: runtimes.reduce((sum, { goroutines }) => sum + goroutines, 0),
    runtimes,
    bytesRead: captured.bytesRead,
    bytesWritten,
    threads: image.threads.length,
    partial,
    leaks: countLeaks(image.leaks ?? null),
    warnings: warningsOf(programs),
  };
}

/** Captures a running Go process into memory. Throws GospyError. */
export async function captureToImage(
  pid: number,
  options: CaptureOptions,
): Promise<Captured & { readonly bytesRead: number }> {
  options.progress?.(`looking at process ${pid}`);
  const target = new LiveProcess(pid, options.mode === 'live' ? 'read' : 'stop');
  const restorePriority = lowerPriority();
  try {
    return await captureFrom(target, options);
  } catch (error) {
    // If the process has ended or become another program, that is the reason, whatever the error says.
    if (options.signal?.aborted !== true) target.assertUnchanged(error);
    throw error;
  } finally {
    restorePriority();
    target.close();
  }
}

async function captureFrom(
  target: LiveProcess,
  options: CaptureOptions,
): Promise<Captured & { readonly bytesRead: number }> {
  const debugInfo = options.debugInfo ?? NO_DEBUG_INFO;
  const look = (): Survey =>
    surveyLive(target, (names) => {
      const own = target.structs(names);
      return own.size > 0 ? own : debugInfo(names);
    });
  const surveyed = look();
  assertRoom(surveyed.programs);
  options.inspect?.(surveyed.programs);
  options.signal?.throwIfAborted();
  const work = new WorkSurvey(options.values ?? 'full', options.decoders ?? []);
  const { copies, metadata, mode, leaks } = await copyProcess(target, look, surveyed, work, options);
  options.signal?.throwIfAborted();
  begin(options, 'making sense of what was read');
  const { surveyed: found } = copies;
  const { image } = found.programs[0];
  const throttled = target.quota?.warning() ?? null;
  const ofLimit = throttled === null ? [] : [throttled];
  const warnings = [...metadata.facts.warnings, ...image.capture.warnings, ...ofLimit];
  const facts: CaptureFacts = { ...metadata.facts, warnings, mode, writer: options.writer };
  const isGo = (pc: number): boolean => found.programs.some(({ index }) => index.at(pc) !== null);
  // Those of now: a program that grew before it was copied has more than at the first look.
  const mappings = target.lastMappings();
  const threads = withNativeFunctions(metadata.threads, target.pid, mappings, isGo);
  const proof = leaks === null ? null : nameVariables(leaks, target.pid, mappings, found.programs);
  const base = { ...image, mappings, leaks: proof };
  const assembled = assembleImage(base, found, copies, threads, facts, () => !target.isSameProgram());
  const withWork = { ...assembled.image, work: work.resultFor(assembled.programs) };
  return { ...assembled, image: withWork, bytesRead: copies.sizeBytes };
}

/**
 * Copies the process in the mode that was asked for. A process that cannot be cloned is stopped instead, and one that is
 * frozen is copied as it stands.
 */
async function copyProcess(
  target: LiveProcess,
  look: () => Survey,
  surveyed: Survey,
  work: WorkSurvey,
  options: CaptureOptions,
): Promise<CapturedCopies & { readonly mode: CaptureMode; readonly leaks: LeakProof | null }> {
  const { mode, packing = 'if many', signal } = options;
  const prover = new Prover(options);
  const frozen = await copyFrozen(target, surveyed, packing, async (programs) => {
    work.lookAtFrozen(programs);
    await prover.prove(programs, { areRegistersPartial: true });
  });
  if (frozen !== null) return { ...prover.withProof(frozen), mode: mode === 'live' ? mode : 'stop' };
  const hasCrashed = mode !== 'live' && readStatus(target.pid).isDumpingCore;
  let refused: CloneRefused | null = null;
  if (mode === 'clone' && !hasCrashed) {
    begin(options, 'cloning');
    const cloned = await copyAndProve(target, surveyed, { work, prover }, options);
    if ('copies' in cloned) return { ...cloned, mode };
    refused = cloned;
    signal?.throwIfAborted();
  }
  begin(options, 'planning');
  let current = surveyed;
  const plan = async (): Promise<Copies> => {
    if (current.programs.some((program) => hasNewModules(program, target))) current = look();
    const copies = new Copies(current, planLive(current, target), target);
    await copies.prepare(packing);
    return copies;
  };
  if (mode === 'live' || hasCrashed) {
    const { copies, metadata } = await copyLive(target, plan, work);
    const told = hasCrashed
      ? withoutProof(addWarning(metadata, CORE_DUMPING), options.leaks, CORE_DUMPING.message)
      : metadata;
    return { copies, metadata: told, mode: 'live', leaks: null };
  }
  const { copies, metadata } = await copyStopped(target, plan, work, options);
  if (refused === null) return { copies, metadata, mode: 'stop', leaks: null };
  const told = withoutProof(addRefusal(metadata, refused), options.leaks, 'it takes a clone of the process');
  return { copies, metadata: told, mode: 'stop', leaks: null };
}

/** Copies a clone and, if that is asked for, proves in it which goroutines are leaked. */
async function copyAndProve(
  target: LiveProcess,
  surveyed: Survey,
  { work, prover }: { readonly work: WorkSurvey; readonly prover: Prover },
  options: CaptureOptions,
): Promise<(CapturedCopies & { readonly leaks: LeakProof | null }) | CloneRefused> {
  const { packing = 'if many', signal, budgetMs, leaks } = options;
  const inspect = async ({ programs, lateStacks }: FrozenPrograms): Promise<void> => {
    work.lookAtFrozen(programs);
    await prover.prove(programs, { lateStacks });
  };
  const how = { packing, signal, budgetMs, inspect, mayBeLarge: leaks !== undefined };
  let cloned = await copyClone(target, surveyed, how);
  let beforeNs = 0;
  // A stop is no way to a proof, and a moment later a thread may be where it can make a clone.
  for (let tries = 1; tries < PROOF_TRIES && leaks !== undefined; tries++) {
    if ('copies' in cloned || cloned.isLasting) break;
    beforeNs += cloned.pauseNs;
    await setTimeout(BETWEEN_TRIES_MS * 2 ** (tries - 1));
    signal?.throwIfAborted();
    cloned = await copyClone(target, surveyed, how);
  }
  if (!('copies' in cloned)) return { ...cloned, pauseNs: cloned.pauseNs + beforeNs };
  const { threads, facts } = cloned.metadata;
  const metadata = { threads, facts: { ...facts, pauseNs: (facts.pauseNs ?? 0) + beforeNs } };
  return prover.withProof({ ...cloned, metadata });
}

/** Begins the next step. */
function begin({ progress }: CaptureOptions, doing: string): void {
  reviewPriority();
  progress?.(doing);
}

/** Adds to a stop that an attempt at a clone came first, during which the process stood still too. */
function addRefusal({ threads, facts }: CaptureMetadata, { reason, pauseNs }: CloneRefused): CaptureMetadata {
  const warning = { code: 'clone-refused', message: `the process was stopped in place of being cloned: ${reason}` };
  return addWarning({ threads, facts: { ...facts, pauseNs: (facts.pauseNs ?? 0) + pauseNs } }, warning);
}

/** `plan` prepares copies of the process as it is then. */
async function copyStopped(
  target: LiveProcess,
  plan: () => Promise<Copies>,
  work: WorkSurvey,
  { budgetMs, signal }: CaptureOptions,
): Promise<CapturedCopies> {
  const { quota } = target;
  let copies = await plan();
  optimizeEarly();
  rehearse(copies, target);
  reviewPriority();
  const before = target.threads();
  const namespaceTids = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
  type Placed = Pick<StoppedThread, 'tid' | 'registers'>;
  const positions = (threads: readonly Placed[]): ThreadPosition[] =>
    positionsOf(threads, ({ tid }) => namespaceTids.get(tid) ?? target.namespaceTid(tid));
  const body = (threads: readonly Placed[], deadline: number): Addr[] | null => {
    target.assertSameProgram();
    return copies.readStopped(positions(threads), deadline);
  };
  const late = (thread: Placed): void => {
    for (const position of positions([thread])) copies.readThread(position);
  };
  await warmUpStop((thread) => {
    // It is of the class that threads have in the stop: V8's code for them is made for that too.
    const placed = [thread, ...before.map(({ tid }) => ({ tid, registers: thread.registers }))];
    body(placed, Infinity);
    placed.slice(0, LATE_REHEARSED).forEach(late);
  });
  signal?.throwIfAborted();
  // What this runs is no part of the stop: compiling it then would take a CPU from the threads that are to stop.
  optimizeLate();
  work.lookBefore(copies, target);
  untilCompiled();
  optimizeEarly();
  // That ran other code over the same functions, for which the engine made them again.
  rehearse(copies, target, AGAIN_ROUNDS);
  // The rehearsal took its time: threads and goroutines that began meanwhile are planned as all others are.
  for (let plans = 1; plans < MAX_PLANS && copies.isOutgrown(); plans++) copies = await plan();
  collectGarbage();
  await quota?.awaitPeriod();
  signal?.throwIfAborted();
  let at = target.clocks();
  copies.readAhead();
  if (quota?.isHalfUsed === true) {
    await quota.awaitPeriod();
    at = target.clocks();
  }
  const options = { arch: target.arch, late, realTime: true, ...(budgetMs === undefined ? {} : { budgetMs }) };
  const stop = withStopped(target.pid, options, body);
  // An execve that was under way may have ended during the copy.
  target.assertSameProgram();
  optimizeLate();
  work.lookAfter(copies, target);
  const threads = joinThreads(before, stop.threads, target);
  const unchecked = stop.value;
  const facts = { ...at, ...describeStop(stop) };
  if (unchecked === null) return { copies, metadata: { threads, facts } };
  const warnings = [...facts.warnings, overBudgetWarning(unchecked.length, budgetMs ?? 0)];
  return { copies, metadata: { threads, facts: { ...facts, partial: true, warnings, torn: unchecked } } };
}

function overBudgetWarning(count: number, budgetMs: number): ImageWarning {
  return {
    code: 'over-budget',
    message:
      `the budget of ${budgetMs} ms ended before everything was copied: ${count} goroutines are marked as torn, ` +
      'since they are as they were shortly before the stop, and what they wait for may be missing',
  };
}

/** Runs the code of the stop until it is compiled: code that never ran takes ten times as long. */
function rehearse(copies: Copies, target: LiveProcess, rounds = WARM_UP_ROUNDS): void {
  let until = performance.now() + WARM_UP_MS;
  for (let i = 0; i < rounds && performance.now() < until; i++) {
    copies.readAhead();
    copies.readStopped([]);
    until += target.rest();
  }
}

/** `plan` prepares copies of the process as it is then. */
async function copyLive(target: LiveProcess, plan: () => Promise<Copies>, work: WorkSurvey): Promise<CapturedCopies> {
  let copies = await plan();
  const begun = performance.now();
  for (let tries = 1; ; tries++) {
    work.lookBefore(copies, target);
    const at = target.clocks();
    const { threads, torn } = copies.completeLive(target);
    target.assertSameProgram();
    const { areWhole, fresh } = copies.lists;
    const isLast = torn.length === 0 || tries >= LIVE_TRIES || performance.now() - begun > LIVE_MS;
    if ((areWhole && isLast) || tries === LIVE_MOST_TRIES) {
      work.lookAfter(copies, target);
      return { copies, metadata: { threads, facts: { ...at, ...UNSTOPPED, partial: false, warnings: [], torn } } };
    }
    if (fresh === 0 && areWhole) continue;
    copies = await plan();
  }
}
