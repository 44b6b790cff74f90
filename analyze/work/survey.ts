import type { Addr } from '../../snapshots/address.js';
import { Memory, onFault, SegmentSource } from '../../snapshots/memory.js';
import type { DecoderSpec, StoredWork, ValueLevel, Work } from '../../snapshots/work.js';
import { alone, type AlikeGoroutines } from '../alike.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { readGoroutine } from '../runtime/memory-ranges.js';
import { countsRuns, hasRun, isSameCall, isSamePlace, isUncounted } from '../runtime/parked.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { StackIds, type KnownStack } from '../stack-ids.js';
import { WaitsOnReader } from '../waits/waits-on.js';
import { WorkReader, type DecodedWork } from './work-reader.js';

/** Of the frames of a call and its callers, so many bytes are compared, from the stack pointer up. */
const MAX_COMPARED = 16 << 10;

/** Stacks that are held at once, and when no further one is: at so many bytes of them. */
const MAX_HELD = 5000;
const MAX_HELD_BYTES = 32 << 20;
/** Bytes of one stack that are held: frames below are not compared, and what their calls tell is lost. */
const MAX_STACK_HELD = 1 << 20;

/** Work, with the call that tells it. */
export interface WorkInCall extends DecodedWork {
  readonly frame: SurveyedFrame;
}

/** What one goroutine works on, and its record when that was read. */
export interface Surveyed<W extends DecodedWork> {
  readonly g: G;
  readonly work: readonly W[];
}

/** The same of a program that runs: whether it holds of a copy is to be compared. */
export type SurveyedWork = Surveyed<WorkInCall>;

/** What the goroutines of a program work on that wait or are in a system call, of a program that stands still. */
export function surveyWork(program: GoProgram, decoders: readonly DecoderSpec[] = []): Surveyed<DecodedWork>[] {
  const values = decoders.length === 0 ? program : program.over({ decoders });
  const reader = new WorkReader(values, true);
  const stacks = stacksIn(values, reader, { members: membersOf(program, null, null), walked: values });
  return workOf(values, { stacks, reader, as: (work) => work });
}

/** A program that runs. */
export interface RunningProgram {
  /** Each call gives the program over memory that is read from then on. */
  readonly now: () => GoProgram;
  readonly lastRead?: LastRead | null;
}

/**
 * A program over its records and stacks as they were read last: which goroutines have something to tell is found out there. Reading
 * all of them again takes longer than all else. What they tell is read anew.
 */
export interface LastRead {
  readonly program: GoProgram;
  readonly goroutines: AlikeGoroutines;
}

/**
 * The same of a program that runs. It is read in windows larger than an object, so values are read in windows of which none is
 * older than the record of a goroutine. What goroutines that moved while they were read work on is left out.
 */
export function surveyRunning(running: RunningProgram, which?: Float64Array): SurveyedWork[] {
  const { now, lastRead = null } = running;
  const records = lastRead?.program ?? now();
  const gs = which === undefined ? null : [...records.goroutinesAt(which)];
  if (!countsRuns(records.layouts)) return surveyMoved(running, gs);
  const values = now();
  const reader = new WorkReader(values, false);
  const stacks = stacksIn(values, reader, {
    members: membersOf(records, lastRead, gs),
    walked: lastRead?.program ?? values,
  });
  const found = workOf(values, { stacks, reader, as: inCall });
  const after = now();
  return found.filter(({ g }) => stayed(g, readGoroutine(after, g.addr)));
}

/**
 * The same of goroutines that move all the time, or of which nothing shows whether they do: what they work on is told as well, as
 * probable, if they only stay in the call that tells it. For that, stacks are read before any value, and again after them. All
 * goroutines are asked unless `gs` are given.
 */
export function surveyMoved({ now, lastRead = null }: RunningProgram, gs: Iterable<G> | null = null): SurveyedWork[] {
  const found: SurveyedWork[] = [];
  let stacks: FoundStack[] = [];
  let bytes = 0;
  const finish = (): void => {
    if (stacks.length === 0) return;
    const values = now();
    const reader = new WorkReader(values, false);
    found.push(...stayedIn(now, workOf(values, { stacks, reader, as: inCall })));
    stacks = [];
    bytes = 0;
  };
  const program = now();
  const looked = {
    members: membersOf(lastRead?.program ?? now(), lastRead, gs),
    walked: lastRead?.program ?? program,
  };
  for (const stack of stacksIn(program, new WorkReader(program, false), looked)) {
    bytes += sizeOf(stack);
    if (stacks.push(held(stack)) === MAX_HELD || bytes >= MAX_HELD_BYTES) finish();
  }
  finish();
  return found;
}

/** What was found of goroutines that, now that all was read, have not moved, or are still in the calls that tell it. */
function stayedIn(now: () => GoProgram, found: readonly SurveyedWork[]): SurveyedWork[] {
  const after = now();
  return found.flatMap(({ g, work }): SurveyedWork[] => {
    const later = readGoroutine(after, g.addr);
    if (countsRuns(after.layouts) && stayed(g, later)) return [{ g, work }];
    const same = later?.goid === g.goid ? stillCalled(after, later, work) : [];
    return same.length === 0 ? [] : [{ g, work: same.map(probable) }];
  });
}

/** The stack of a goroutine, and the memory that it is in. */
interface FoundStack {
  readonly g: G;
  readonly frames: readonly PhysicalFrame[];
  readonly memory: Memory;
}

/** The stack with a copy of its memory: what is asked of it later is what it was. */
function held(stack: FoundStack): FoundStack {
  const { g, frames, memory } = stack;
  const addr = (frames[0]?.sp ?? 0) as Addr;
  const bytes = onFault(
    () => memory.bytes(addr, sizeOf(stack)),
    () => new Uint8Array(0),
  );
  return { g, frames, memory: new Memory(new SegmentSource([{ addr, bytes }])) };
}

/** How much of a stack is held. */
function sizeOf({ frames }: FoundStack): number {
  const [lo = 0, hi = 0] = [frames[0]?.sp, frames.at(-1)?.fp];
  return Math.max(0, Math.min(hi - lo, MAX_STACK_HELD));
}

/** Where goroutines are looked for. */
interface Looked {
  /** The goroutines that are asked. */
  readonly members: AlikeGoroutines['members'];
  /** Where it is found out which stacks may tell something. */
  readonly walked: GoProgram;
}

/** Some goroutines; all of a program, or of one as it was read last, unless they are given. */
function membersOf(program: GoProgram, lastRead: LastRead | null, gs: Iterable<G> | null): AlikeGoroutines['members'] {
  if (gs === null && lastRead !== null) return (isWanted) => lastRead.goroutines.members(isWanted);
  return () => alone(gs ?? program.goroutines('stack'));
}

/** The stacks in `program` of goroutines: of those of which something may be told. */
function* stacksIn(program: GoProgram, reader: WorkReader, { members, walked }: Looked): Generator<FoundStack> {
  const ids = new StackIds();
  const concerned = new WeakMap<KnownStack, boolean>();
  // Most programs have few stacks, and most of those have nothing to tell.
  const concerns = (known: KnownStack): boolean => {
    let found = concerned.get(known);
    if (found === undefined) concerned.set(known, (found = reader.concerns(known.frames)));
    return found;
  };
  const { memory } = program;
  for (const { g, alike } of members((alike) => concerns(alike.stack))) {
    if ((g.status !== 'waiting' && g.status !== 'syscall') || isUncounted(g, program.waitReasons)) continue;
    const { known, stack } = alike === null ? ids.find(walked, g) : { known: alike.stack, stack: null };
    if (!concerns(known)) continue;
    const { frames } = stack !== null && walked === program ? stack : program.stackOf(g);
    yield { g, frames, memory };
  }
}

/** How the work of some goroutines is found. */
interface Decoding<W extends DecodedWork> {
  readonly stacks: Iterable<FoundStack>;
  readonly reader: WorkReader;
  /** Makes of work what is wanted of it. */
  readonly as: (work: DecodedWork, stack: FoundStack) => W;
}

/** What goroutines with these stacks work on, by the values in `program`. */
function workOf<W extends DecodedWork>(program: GoProgram, { stacks, reader, as }: Decoding<W>): Surveyed<W>[] {
  const waits = new WaitsOnReader(program);
  const found: Surveyed<W>[] = [];
  onFault(
    () => {
      for (const stack of stacks) {
        const { g, frames } = stack;
        const work = reader.of(frames, () => waits.of(g, frames));
        if (work.length > 0) found.push({ g, work: work.map((one) => as(one, stack)) });
      }
    },
    () => undefined,
  );
  return found;
}

/**
 * Keeps, of what was surveyed shortly before or after a copy was made, what holds of the copy. In both, the frames of the call that
 * tells it and of its callers must be the same, byte by byte: they do not change while a call that it made is under way. Where the goroutine moved meanwhile, or
 * nothing shows whether it did, what is kept is probable: in the same place, the program may have put something new.
 */
export function keepOf(program: GoProgram, surveyed: readonly SurveyedWork[]): SurveyedWork[] {
  const torn = new Set<number>(program.image.capture.torn);
  const counts = countsRuns(program.layouts);
  return surveyed.flatMap(({ g, work }) => {
    const copied = torn.has(g.addr) ? null : readGoroutine(program, g.addr);
    if (copied?.goid !== g.goid) return [];
    const same = stillCalled(program, copied, work);
    const isSure = counts && g.status === 'waiting' && (stayed(g, copied) || stayed(copied, g));
    return same.length === 0 ? [] : [{ g, work: isSure ? same : same.map(probable) }];
  });
}

/** What some goroutines of a program that runs work on at present. `now` is that of a {@link RunningProgram}. */
export function workAtPresent(now: () => GoProgram, which: Float64Array): SurveyedWork[] {
  return keepOf(now(), surveyRunning({ now }, which));
}

/** What a snapshot keeps of work, at a level. */
export function storedWork(level: ValueLevel, surveyed: readonly Surveyed<DecodedWork>[]): StoredWork {
  const kept = level === 'none' ? [] : surveyed;
  return { level, byG: new Map(kept.map(({ g, work }) => [g.addr, work.map((one) => atLevel(level, one))])) };
}

function atLevel(level: ValueLevel, { text, shape, frame: _, ...work }: DecodedWork): Work {
  return { ...work, text: level === 'full' ? text : shape };
}

function stayed(before: G | null, after: G | null): boolean {
  if (before === null || after === null) return false;
  return (isSamePlace(before, after) || isSameCall(before, after)) && !hasRun(before, after);
}

function probable(work: WorkInCall): WorkInCall {
  return { ...work, sure: false };
}

/** A call on a stack, and what its frame and those of its callers held when it was looked at. */
interface SurveyedFrame {
  readonly pc: number;
  readonly sp: number;
  /** Where the outermost frame ends. */
  readonly top: number;
  /** Of the bytes from `sp` to `top`; NaN where they could not be read. */
  readonly hash: number;
}

function inCall({ frame: { pc, sp }, ...work }: DecodedWork, { frames, memory }: FoundStack): WorkInCall {
  const top = frames.at(-1)?.fp ?? 0;
  return { ...work, frame: { pc, sp, top, hash: hashOf(memory, { sp, top }) } };
}

/** The work of calls that a goroutine is still in. */
function stillCalled(program: GoProgram, g: G, work: readonly WorkInCall[]): WorkInCall[] {
  const calls = program.stackOf(g).frames;
  return work.filter(
    ({ frame }) =>
      calls.some(({ pc, sp }) => pc === frame.pc && sp === frame.sp) && hashOf(program.memory, frame) === frame.hash,
  );
}

function hashOf(memory: Memory, { sp, top }: Pick<SurveyedFrame, 'sp' | 'top'>): number {
  return onFault(
    () => {
      const { buffer, length } = memory.bytes(sp as Addr, Math.max(0, Math.min(top - sp, MAX_COMPARED)));
      let [a, b] = [0, 0];
      for (const word of new Uint32Array(buffer, 0, length >> 2)) {
        a = Math.imul(a ^ word, 0x01000193);
        b = (Math.imul(b, 31) + word) | 0;
      }
      return a * 2 ** 21 + (b >>> 11);
    },
    () => NaN,
  );
}
