import type { Frame, GoroutineWithStack, Loc } from '../../analyze/report/model.js';
import type { Delve, DelveGoroutine, DelveLocation } from './delve.js';

/** The differences, one readable line each, and how much was compared. */
export interface DelveComparison {
  readonly differences: string[];
  readonly compared: { goroutines: number; frames: number };
}

export interface DelveComparisonOptions {
  /** False if the program has plugins, which Delve does not find in a core. */
  readonly places?: boolean;
}

/** Names of the status numbers that start with _Gidle in runtime2.go. */
const STATUSES = ['idle', 'runnable', 'running', 'syscall', 'waiting', '', 'dead', '', 'copystack', 'preempted'];

const SCAN = 0x1000;
/** _Gdeadextra (1.26+): the goroutine of an extra M, which waits for a call from C. */
const DEAD_EXTRA = 11;

/** Wrappers that the compiler made. Delve hides them. */
const WRAPPER = /(\.gowrap\d+|\.deferwrap\d+|-fm)$|·dwrap·|\.\(\*[^)]*\)\.\w+\.wrapper$/;
/** Entries of the signal handler, which the kernel calls. Delve leaves them out. */
const SIGNAL_ENTRY = new Set(['runtime.sigtramp', 'runtime.sigreturn', 'runtime.sigreturn__sigaction']);
/** Left on the goroutine's stack while it runs on the system stack. Tracebacks leave it out. */
const SWITCH = 'runtime.systemstack_switch';
const EXIT = 'runtime.exitsyscall';
/** The frames below these were interrupted: their pc is the next instruction, not a return address. */
const INTERRUPTING = new Set([...SIGNAL_ENTRY, 'runtime.asyncPreempt', 'runtime.sigpanic']);

/**
 * Compares goroutines with what Delve says of the same core. Known differences are allowed; in all of them Go's own
 * tracebacks agree with gospy. Delve shows the line of the next instruction for the innermost frame, hides wrappers, loses
 * the caller of an interrupted function without a frame, and shows where a stack was switched.
 */
export async function compareWithDelve(
  ours: readonly GoroutineWithStack[],
  delve: Delve,
  { places = true }: DelveComparisonOptions = {},
): Promise<DelveComparison> {
  const out: DelveComparison = { differences: [], compared: { goroutines: 0, frames: 0 } };
  const listed = (await delve.goroutines()).filter(({ status }) => status % SCAN !== DEAD_EXTRA);
  const theirs = new Map(listed.map((g) => [g.id, g]));
  for (const goroutine of ours) {
    const differ = (what: string): void => {
      out.differences.push(`goroutine ${goroutine.goid} (${goroutine.entry?.func ?? '?'}): ${what}`);
    };
    const other = theirs.get(goroutine.goid);
    if (other === undefined) {
      differ('Delve does not list it');
      continue;
    }
    theirs.delete(goroutine.goid);
    out.compared.goroutines++;
    compareFacts(goroutine, other, differ);
    if (!places) continue;
    comparePlaces(goroutine, other, differ);
    const stack = await delve.stack(goroutine.goid);
    // One that leaves a system call counts as in it until syscallsp is cleared (exitsyscall in proc.go): Delve shows it further in.
    const inSyscall = goroutine.status === 'syscall' || (stack[0] !== undefined && nameOf(stack[0]) === EXIT);
    out.compared.frames += inSyscall
      ? compareFrames(goroutine.frames.slice(1), behindEntry(goroutine.frames[0], stack), differ)
      : compareFrames(goroutine.frames, stack, differ);
  }
  for (const { id, startLoc } of theirs.values()) {
    out.differences.push(`goroutine ${id} (${startLoc.function?.name ?? '?'}): listed by Delve alone`);
  }
  return out;
}

type Differ = (what: string) => void;

function compareFacts(ours: GoroutineWithStack, theirs: DelveGoroutine, differ: Differ): void {
  const status = STATUSES[theirs.status % SCAN] ?? String(theirs.status);
  if (ours.status !== status) differ(`status ${ours.status}, Delve ${status}`);
  const [mine, other] = [ours.labels, theirs.labels ?? {}].map((labels) =>
    JSON.stringify(Object.entries(labels).sort()),
  );
  if (mine !== other) differ(`labels ${mine ?? ''}, Delve ${other ?? ''}`);
  if (theirs.threadID !== 0 && ours.thread?.tid !== theirs.threadID) {
    differ(`on thread ${ours.thread?.tid ?? 'none'}, Delve ${theirs.threadID}`);
  }
}

function comparePlaces(ours: GoroutineWithStack, theirs: DelveGoroutine, differ: Differ): void {
  const { goStatementLoc: made, startLoc } = theirs;
  if (ours.creator !== null && (ours.creator.file !== made.file || ours.creator.line !== made.line)) {
    differ(`made at ${ours.creator.file}:${ours.creator.line}, Delve ${made.file}:${made.line}`);
  }
  const start = nameOf(startLoc);
  // For a wrapper, Delve names the first function that is called in it, even if that belongs to an inlined one.
  if (WRAPPER.test(ours.start?.func ?? '')) return;
  if (![ours.start, ours.entry].some((loc: Loc | null) => (loc?.func ?? '?') === start)) {
    differ(`starts with ${ours.start?.func ?? '?'}, Delve ${start}`);
  }
}

/** Delve's frames outside the function that entered the system call. Delve starts at the thread's registers, further in. */
function behindEntry(entry: Frame | undefined, stack: readonly DelveLocation[]): readonly DelveLocation[] {
  return stack.slice(stack.findIndex((location) => nameOf(location) === entry?.func) + 1);
}

/** Returns the number of frames that were compared. */
function compareFrames(ours: readonly Frame[], all: readonly DelveLocation[], differ: Differ): number {
  const theirs = all.filter((location) => !WRAPPER.test(nameOf(location)) && nameOf(location) !== SWITCH);
  let next = 0;
  for (const [i, frame] of ours.entries()) {
    const other = theirs[next];
    const interrupted = i > 0 && INTERRUPTING.has(ours[i - 1]?.func ?? '');
    if (other === undefined || frame.func !== nameOf(other) || Number(frame.pc) !== other.pc) {
      if (mayBeHidden(ours, i)) continue;
      differ(`frame ${i} is ${textOf(frame)}, Delve ${other === undefined ? 'has none' : textOfDelve(other)}`);
      return next;
    }
    // In a traceback, a wrapper into which its method was inlined has the place of the method.
    const sameFile = frame.file === other.file || other.file === '<autogenerated>';
    const lineCounts = next > 0 && !interrupted && other.file !== '<autogenerated>';
    if (!sameFile || (lineCounts && frame.line !== other.line)) {
      differ(`frame ${i} is ${textOf(frame)}, Delve ${textOfDelve(other)}`);
    }
    next++;
  }
  const more = theirs[next];
  if (more !== undefined) differ(`ends after ${ours.length} frames, Delve goes on with ${textOfDelve(more)}`);
  return next;
}

function mayBeHidden(ours: readonly Frame[], i: number): boolean {
  const frame = ours[i];
  const inner = ours[i - 1];
  if (frame === undefined) return false;
  if (
    frame.func === SWITCH ||
    WRAPPER.test(frame.func) ||
    SIGNAL_ENTRY.has(frame.func) ||
    frame.file === '<autogenerated>'
  )
    return true;
  return INTERRUPTING.has(ours[i - 2]?.func ?? '') || (i === 1 && inner?.file.endsWith('.s') === true);
}

/** The name as Go's tracebacks print it. */
function nameOf({ function: func }: DelveLocation): string {
  return (func?.name ?? '?').replace(/\[.*\]/, '[...]');
}

function textOf({ func, file, line, pc }: Frame): string {
  return `${func} ${file}:${line} ${pc}`;
}

function textOfDelve(location: DelveLocation): string {
  return `${nameOf(location)} ${location.file}:${location.line} 0x${location.pc.toString(16)}`;
}
