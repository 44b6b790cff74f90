import type { CallFrame, Frame, GoroutineWithStack, Loc, ThreadReport } from '../../analyze/report/model.js';

/** The answers of an analysis on an image. */
export interface Answers {
  readonly goroutines: readonly GoroutineWithStack[];
  readonly threads: readonly ThreadReport[];
  /** How many goroutines could not be read. */
  readonly unreadable: number;
}

/** An unknown file. Its line is 0, and calls that were inlined at that place are not shown. */
const UNKNOWN = '?';

/**
 * Compares the answers on an image that lacks some of its memory with those on the whole image. Each value must be the same
 * or be marked as unknown. Returns a line for each that is neither.
 *
 * Marked as unknown are: null; a place with the file `?`, whose function is the one that others were inlined into; the
 * frames that are missing from a stack with a reason for its end; as many goroutines as are counted as unreadable. `entry`
 * may be the start function, and a goroutine whose start is unknown counts as the program's own.
 */
export function disagreements(part: Answers, whole: Answers): string[] {
  const out: string[] = [];
  const goroutines = new Map(whole.goroutines.map((g) => [g.goid, g]));
  const seen = new Set<number>();
  for (const g of part.goroutines) {
    const truth = goroutines.get(g.goid);
    if (truth === undefined || seen.has(g.goid)) out.push(`goroutine ${g.goid} is listed, and there is none`);
    else out.push(...ofGoroutine(g, truth).map((what) => `goroutine ${g.goid}: ${what}`));
    seen.add(g.goid);
  }
  const missing = whole.goroutines.length - seen.size;
  if (missing > part.unreadable) out.push(`${missing} goroutines are missing, ${part.unreadable} are said to be`);
  const threads = new Map(whole.threads.map((thread) => [thread.tid, thread]));
  for (const thread of part.threads) {
    const truth = threads.get(thread.tid);
    if (truth === undefined) out.push(`thread ${thread.tid} is listed, and there is none`);
    else out.push(...ofThread(thread, truth).map((what) => `thread ${thread.tid}: ${what}`));
  }
  if (part.threads.length !== whole.threads.length) out.push(`${part.threads.length} threads are listed`);
  return out;
}

function ofGoroutine(g: GoroutineWithStack, truth: GoroutineWithStack): string[] {
  const out: string[] = [];
  const must = (holds: boolean, name: keyof GoroutineWithStack): void => {
    if (!holds) out.push(`${name} is ${JSON.stringify(g[name])}, and ${JSON.stringify(truth[name])} in truth`);
  };
  for (const name of ['status', 'lockedToThread', 'parentGoid', 'torn'] as const) must(g[name] === truth[name], name);
  for (const name of ['waitReason', 'waitSinceNs'] as const) must(g[name] === null || g[name] === truth[name], name);
  must(g.thread === null || isSame(g.thread, truth.thread), 'thread');
  for (const name of ['creator', 'start', 'current'] as const)
    must(isPlaceOf(g[name], truth[name], truth.frames), name);
  must(isPlaceOf(g.entry, truth.entry, truth.frames) || isSame(g.entry, g.start), 'entry');
  const unfolded = g.frames.every(({ file }) => file !== UNKNOWN);
  must(isPlaceOf(g.user, truth.user, truth.frames) || !unfolded, 'user');
  must(g.system === truth.system || g.start === null || g.truncated !== null, 'system');
  return [...out, ...ofStack(g, truth)];
}

function ofThread(thread: ThreadReport, truth: ThreadReport): string[] {
  const out: string[] = [];
  for (const name of ['m', 'goid'] as const) {
    if (thread[name] !== null && thread[name] !== truth[name]) out.push(`${name} is ${thread[name]}`);
  }
  if (thread.name !== truth.name || thread.state !== truth.state) out.push('its name or state is another');
  return [...out, ...ofStack(thread, truth)];
}

type Stack = Pick<GoroutineWithStack, 'frames' | 'truncated'>;

function ofStack(part: Stack, whole: Stack): string[] {
  const [mine, truth] = [physical(part.frames.map(withoutArguments)), physical(whole.frames.map(withoutArguments))];
  for (const [i, lines] of mine.entries()) {
    const true_ = truth[i] ?? [];
    if (isSame(lines, true_)) continue;
    const [only, ...more] = lines;
    const outer = true_.at(-1);
    const unknown = only !== undefined && outer !== undefined && more.length === 0 && isUnknownPlace(only, outer);
    if (!unknown) return [`frame ${i} is ${JSON.stringify(lines)}, and ${JSON.stringify(true_)} in truth`];
  }
  const called = new Map(whole.frames.flatMap((frame) => (frame.inlined ? [] : [[frame.fp + frame.pc, frame]])));
  for (const frame of part.frames) {
    const true_ = called.get(frame.fp + frame.pc);
    if (!frame.inlined && !(true_ !== undefined && hasArgumentsOf(frame, true_))) {
      return [`${frame.func} has the arguments ${argumentsOf(frame)}, and ${argumentsOf(true_)} in truth`];
    }
  }
  if (mine.length < truth.length && part.truncated === null) return [`ends after ${mine.length} frames without a word`];
  if (part.truncated === null && whole.truncated !== null) return ['is not said to be cut'];
  return [];
}

function withoutArguments({ func, file, line, pc, sp, fp, inlined }: Frame): Frame {
  return { func, file, line, pc, sp, fp, inlined };
}

function argumentsOf(frame: CallFrame | undefined): string {
  return JSON.stringify([frame?.args, frame?.argsLive, frame?.argsPointers]);
}

/** Unknown are all of them, or which are pointers; in Go 1.17, that may be all that tells which are live. */
function hasArgumentsOf(frame: CallFrame, truth: CallFrame): boolean {
  const { args, argsLive, argsPointers } = frame;
  if (args === null) return argsLive === '' && argsPointers === '';
  const fits = (marks: string, true_: string): boolean => marks === true_ || /^\?+$/.test(marks);
  return args === truth.args && fits(argsLive, truth.argsLive) && fits(argsPointers, truth.argsPointers);
}

/** Frames with those that were inlined into them. */
function physical(frames: readonly Frame[]): Frame[][] {
  const out: Frame[][] = [];
  let open = false;
  for (const frame of frames) {
    if (open) out.at(-1)?.push(frame);
    else out.push([frame]);
    open = frame.inlined;
  }
  return out;
}

function isPlaceOf(loc: Loc | null, truth: Loc | null, frames: readonly Frame[]): boolean {
  if (loc === null || isSame(loc, truth)) return true;
  if (truth === null) return false;
  // The function that the true one was inlined into.
  const outer = frames.find(({ pc, inlined }) => pc === truth.pc && !inlined);
  return isUnknownPlace(loc, truth) || (outer !== undefined && isUnknownPlace(loc, outer));
}

function isUnknownPlace(loc: Loc, truth: Loc): boolean {
  return loc.file === UNKNOWN && loc.line === 0 && loc.pc === truth.pc && [truth.func, UNKNOWN].includes(loc.func);
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
