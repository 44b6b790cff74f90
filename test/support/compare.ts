import type { GoroutineWithStack, Loc } from '../../analyze/report/model.js';
import type { TracedCreator, TracedFrame, TracedGoroutine } from './traceback.js';

export interface Comparison {
  /** The differences, one readable line each. */
  readonly differences: string[];
  /** How much was compared. A test has to check that it is not nothing. */
  readonly compared: { goroutines: number; frames: number };
}

export interface ComparisonOptions {
  /** Goroutines that may have moved since the capture, besides those that are known to. */
  readonly mayMove?: (goroutine: GoroutineWithStack) => boolean;
  /** Goroutines that may be printed and not captured, because they started after the capture. */
  readonly mayBeNew?: (goid: number) => boolean;
  /** True to compare the labels that the program prints. */
  readonly labels?: boolean;
}

/** The background scavenger wakes by itself, and the goroutine that handles signals at the signal that asks. */
const MOVING = new Set(['runtime.bgscavenge', 'os/signal.loop']);
/** Statuses of goroutines that do not run until something wakes them. */
const PARKED: ReadonlySet<GoroutineWithStack['status']> = new Set(['waiting', 'syscall', 'leaked']);
/** Printed by Go 1.26 for the goroutine of an extra M, which is dead to the scheduler. */
const NO_GOROUTINE = 'waiting for cgo callback';

/**
 * Compares goroutines with what the program itself printed a moment later. A parked one must agree in id, status or wait
 * reason, every frame, creator and parent; one that ran or was about to run, in its creator only.
 */
export function compareWithTraceback(
  goroutines: Iterable<GoroutineWithStack>,
  traceback: readonly TracedGoroutine[],
  options: ComparisonOptions = {},
): Comparison {
  const printed = new Map<number, TracedGoroutine>();
  for (const traced of traceback) {
    const known = printed.get(traced.goid);
    if (traced.goid !== 0 && traced.status !== NO_GOROUTINE && known?.stackAvailable !== true) {
      printed.set(traced.goid, traced);
    }
  }
  const differences: string[] = [];
  const compared = { goroutines: 0, frames: 0 };
  const seen = new Set<number>();
  for (const goroutine of goroutines) {
    if (seen.has(goroutine.goid)) differences.push(`goroutine ${goroutine.goid} is listed twice`);
    seen.add(goroutine.goid);
    const moves = isMoving(goroutine) || options.mayMove?.(goroutine) === true;
    const parked = PARKED.has(goroutine.status) && !moves;
    const traced = printed.get(goroutine.goid);
    const differ = (what: string): void => {
      differences.push(`goroutine ${goroutine.goid} (${goroutine.entry?.func ?? '?'}): ${what}`);
    };
    if (traced === undefined) {
      if (parked) differ(`${goroutine.waitReason ?? goroutine.status}, but the program did not print it`);
      continue;
    }
    compareCreator(goroutine, traced, differ);
    if (!parked) continue;
    compared.goroutines++;
    compareHeader(goroutine, traced, differ);
    compared.frames += compareFrames(goroutine, traced, differ);
    if (options.labels === true && traced.labels !== null) {
      const [ours, theirs] = [goroutine.labels, traced.labels].map((labels) =>
        JSON.stringify(Object.entries(labels).sort()),
      );
      if (ours !== theirs) differ(`labels ${ours ?? ''}, printed ${theirs ?? ''}`);
    }
  }
  for (const { goid, status } of printed.values()) {
    if (seen.has(goid) || options.mayBeNew?.(goid) === true) continue;
    differences.push(`goroutine ${goid}: printed as [${status}], but not listed`);
  }
  return { differences, compared };
}

/** True for goroutines of the runtime that move by themselves. */
export function isMoving({ start, entry }: GoroutineWithStack): boolean {
  return [start, entry].some((loc) => loc !== null && MOVING.has(loc.func));
}

/**
 * True for goroutines whose system call a stop interrupts: they make the next one on whichever M they come to run on. Of a plugin,
 * the package has another name.
 */
function isInterrupted({ entry }: GoroutineWithStack): boolean {
  return entry?.func.endsWith('.rawEpollWait') === true;
}

type Differ = (what: string) => void;

function compareHeader(ours: GoroutineWithStack, traced: TracedGoroutine, differ: Differ): void {
  const status = ours.waitReason ?? ours.status;
  const durable = traced.durable ? [`${traced.status} (durable)`] : [];
  if (![traced.status, ...durable].includes(status)) differ(`status ${status}, printed ${traced.status}`);
  if ((ours.status === 'leaked') !== traced.leaked)
    differ(`${ours.status}, printed ${traced.leaked ? '' : 'not '}leaked`);
  if (ours.lockedToThread !== traced.lockedToThread) {
    differ(`lockedToThread ${ours.lockedToThread}, printed ${traced.lockedToThread}`);
  }
  if (ours.status === 'syscall' && !isInterrupted(ours) && traced.m !== null && ours.thread?.m !== traced.m) {
    differ(`on M ${ours.thread?.m ?? 'none'}, printed M ${traced.m}`);
  }
  const minutes = Math.floor((ours.waitSinceNs ?? 0) / 60e9);
  if (minutes > (traced.minutes ?? 0)) differ(`waits for ${minutes} minutes, printed ${traced.minutes ?? 0}`);
}

/** Returns the number of frames that were compared. */
function compareFrames(ours: GoroutineWithStack, traced: TracedGoroutine, differ: Differ): number {
  if (!traced.stackAvailable) {
    differ('its stack was captured parked, and printed as running');
    return 0;
  }
  const { frames, elided } = traced;
  const mine = ours.frames.length;
  const cut = isCut(traced);
  const printed = frames.length + (elided?.count ?? 0);
  if (cut ? mine < printed : mine !== printed) {
    const why = ours.truncated === null ? '' : ` (${ours.truncated})`;
    differ(`${mine} frames${why}, printed ${printed}${cut ? ' or more' : ''}`);
    return 0;
  }
  frames.forEach((frame, i) => {
    const at = elided !== null && i >= elided.after ? i + (elided.count ?? 0) : i;
    const own = ours.frames[at];
    const physical = frames.slice(i).find(({ inlined }) => !inlined);
    const wanted: Partial<TracedFrame> = {
      ...{ func: frame.func, file: frame.file, line: frame.line, inlined: frame.inlined },
      // Until Go 1.16 results are among them, which the next call has not set.
      ...(isInterrupted(ours) ? {} : { args: frame.args }),
      ...(acrossElision(i, frames, traced)
        ? {}
        : { pc: physical?.pc ?? null, sp: physical?.sp ?? null, fp: physical?.fp ?? null }),
    };
    for (const [key, value] of Object.entries(wanted)) {
      const got = own?.[key as keyof TracedFrame];
      if (value !== null && got !== value) {
        differ(`frame ${at} (${frame.func}): ${key} ${String(got)}, printed ${String(value)}`);
      }
    }
  });
  return frames.length;
}

/**
 * True if the printed stack is only the start of the whole. Up to Go 1.20 it ends after 100 frames, not counting inlined
 * ones, and says so only if none was inlined.
 */
function isCut({ frames, elided }: TracedGoroutine): boolean {
  if (elided !== null) return elided.count === null;
  return frames.length > 100 && frames.filter(({ inlined }) => !inlined).length === 100;
}

/** True for an inlined frame whose enclosing frame was not printed. */
function acrossElision(index: number, frames: readonly TracedFrame[], { elided }: TracedGoroutine): boolean {
  if (elided === null || index >= elided.after) return false;
  return frames.slice(index, elided.after).every(({ inlined }) => inlined);
}

/** Goroutine 1 is left out: it has a creator in memory, which tracebacks do not print. */
function compareCreator(ours: GoroutineWithStack, traced: TracedGoroutine, differ: Differ): void {
  if (ours.goid === 1) return;
  const [mine, theirs] = [textOf(ours.creator), textOf(traced.creator)];
  if (mine !== theirs) differ(`created by ${mine}, printed ${theirs}`);
  if (traced.creator !== null && traced.creator.parentGoid !== ours.parentGoid) {
    differ(`parent ${ours.parentGoid ?? 'none'}, printed ${traced.creator.parentGoid ?? 'none'}`);
  }
}

function textOf(creator: Loc | TracedCreator | null): string {
  return creator === null ? 'none' : `${creator.func} at ${creator.file}:${creator.line}`;
}
