import { onFault } from '../../snapshots/memory.js';
import type { DecoderSpec, StoredWork, ValueLevel, Work } from '../../snapshots/work.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { readGoroutine } from '../runtime/memory-ranges.js';
import { countsRuns, hasRun, isSameCall, isSamePlace, isUncounted } from '../runtime/parked.js';
import { Whereabouts } from '../runtime/whereabouts.js';
import type { ArgumentWord } from '../stacks/frame-arguments.js';
import { StackIds, type KnownStack } from '../stack-ids.js';
import { WaitsOnReader } from '../waits/waits-on.js';
import { WorkReader, type DecodedWork } from './work-reader.js';

/** What one goroutine works on, and its record when that was read. */
export interface SurveyedWork {
  readonly g: G;
  readonly work: readonly DecodedWork[];
}

/** Of which goroutines it is asked what they work on: all, unless one of these says less. */
interface Asked {
  /** Not those that are still where they were then. */
  readonly known?: Whereabouts | null;
  /** Only those whose gs are at these addresses. */
  readonly which?: Float64Array;
}

/** What was found at a look at a program that runs, and where all its goroutines were then; null where that cannot be read. */
export interface RunningSurvey {
  readonly work: readonly SurveyedWork[];
  readonly whereabouts: Whereabouts | null;
}

/** What the goroutines of a program work on that wait or are in a system call, of a program that stands still. */
export function surveyWork(program: GoProgram, decoders: readonly DecoderSpec[] = []): SurveyedWork[] {
  return workIn(program, decoders.length === 0 ? program : program.over({ decoders }));
}

/**
 * The same of a program that runs. Each call of `now` gives the program over memory that is read from then on. It is read in
 * windows larger than an object, so values are read in windows of which none is older than the record of a goroutine. Those that
 * moved while they were read are left out.
 */
export function surveyRunning(now: () => GoProgram, { known, which }: Asked = {}): RunningSurvey {
  const records = now();
  const gs = which === undefined ? null : [...records.goroutinesAt(which)];
  const whereabouts = onFault(
    () => (gs === null ? new Whereabouts(records.goroutineColumns) : null),
    () => null,
  );
  const found = workIn(records, now(), gs, known);
  const after = now();
  return { work: found.filter(({ g }) => stayed(g, readGoroutine(after, g.addr))), whereabouts };
}

/** The work of the goroutines in `records`, or of `which` of them, whose stacks and values are those in `program`. */
function workIn(
  records: GoProgram,
  program: GoProgram,
  which: readonly G[] | null = null,
  known: Whereabouts | null = null,
): SurveyedWork[] {
  const [reader, waits] = [new WorkReader(program), new WaitsOnReader(program)];
  const ids = new StackIds();
  const concerned = new WeakMap<KnownStack, boolean>();
  const found: SurveyedWork[] = [];
  onFault(
    () => {
      for (const g of which ?? records.goroutines('stack')) {
        if ((g.status !== 'waiting' && g.status !== 'syscall') || isUncounted(g, program.waitReasons)) continue;
        if (known?.has(g) === true) continue;
        // Most programs have few stacks, and most of those have nothing to tell.
        const { known: like, stack } = ids.find(program, g);
        let concerns = concerned.get(like);
        if (concerns === undefined) concerned.set(like, (concerns = reader.concerns(like.frames)));
        if (!concerns) continue;
        const { frames } = stack ?? program.stackOf(g);
        const work = reader.of(frames, () => waits.of(g, frames));
        if (work.length > 0) found.push({ g, work });
      }
    },
    () => undefined,
  );
  return found;
}

/**
 * Keeps, of what was surveyed before a copy was made, the work of goroutines that the copy shows where they were then. Before Go
 * 1.17 nothing shows whether a goroutine ran and came back to the same place: only work that is found to be the same in `again`,
 * after the copy, is kept, as probable. So is that of a goroutine in a system call: it may be another call.
 */
export function keepUnmoved(
  program: GoProgram,
  surveyed: readonly SurveyedWork[],
  again: readonly SurveyedWork[],
): SurveyedWork[] {
  const kept = keptOf(program, surveyed, (g) => stayed(g, readGoroutine(program, g.addr)));
  if (countsRuns(program.layouts)) return kept;
  const later = new Map(again.map(({ g, work }) => [g.addr, { goid: g.goid, work }]));
  return kept.flatMap(({ g, work }) => {
    const then = later.get(g.addr);
    const isSame = (one: DecodedWork): boolean =>
      then?.work.some(({ kind, text, since }) => kind === one.kind && text === one.text && since === one.since) ===
      true;
    return then?.goid === g.goid ? [{ g, work: work.filter(isSame).map((one) => ({ ...one, sure: false })) }] : [];
  });
}

/** Keeps, of what was surveyed after a copy was made, the work of goroutines that are still where the copy shows them. */
export function keepUnmovedSince(program: GoProgram, surveyed: readonly SurveyedWork[]): SurveyedWork[] {
  return keptOf(program, surveyed, (g) => stayed(readGoroutine(program, g.addr), g));
}

/** The work of goroutines that `stayed` where the copy shows them; in a system call, what the words in the copy still say. */
function keptOf(program: GoProgram, surveyed: readonly SurveyedWork[], stayed: (g: G) => boolean): SurveyedWork[] {
  const torn = new Set<number>(program.image.capture.torn);
  return surveyed.flatMap(({ g, work }) => {
    if (torn.has(g.addr) || !stayed(g)) return [];
    if (g.status === 'waiting') return [{ g, work }];
    const same = work.filter(({ words }) => words.every((word) => isThere(program, word)));
    return [{ g, work: same.map((one) => ({ ...one, sure: false })) }];
  });
}

/** What some goroutines of a program that runs work on at present. `now` is as for {@link surveyRunning}. */
export function workAtPresent(now: () => GoProgram, which: Float64Array): SurveyedWork[] {
  const { work } = surveyRunning(now, { which });
  const program = now();
  return keepUnmoved(program, work, countsRuns(program.layouts) ? [] : surveyRunning(now, { which }).work);
}

/** What a snapshot keeps of work, at a level. */
export function storedWork(level: ValueLevel, surveyed: readonly SurveyedWork[]): StoredWork {
  const kept = level === 'none' ? [] : surveyed;
  return { level, byG: new Map(kept.map(({ g, work }) => [g.addr, work.map((one) => atLevel(level, one))])) };
}

function atLevel(level: ValueLevel, { text, shape, words: _, ...work }: DecodedWork): Work {
  return { ...work, text: level === 'full' ? text : shape };
}

function stayed(before: G | null, after: G | null): boolean {
  if (before === null || after === null) return false;
  return (isSamePlace(before, after) || isSameCall(before, after)) && !hasRun(before, after);
}

function isThere({ memory }: GoProgram, { addr, value, sizeBytes }: ArgumentWord): boolean {
  return onFault(
    () => sizeBytes < 8 || memory.u64(addr) === value,
    () => false,
  );
}
