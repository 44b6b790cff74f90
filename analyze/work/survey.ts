import { onFault } from '../../snapshots/memory.js';
import type { StoredWork, ValueLevel, Work } from '../../snapshots/work.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { countsRuns, hasRun, isSamePlace, isUncounted } from '../runtime/parked.js';
import { WorkReader, type DecodedWork } from './work-reader.js';

/** What one goroutine works on, and its record when that was read. */
export interface SurveyedWork {
  readonly g: G;
  readonly work: readonly DecodedWork[];
}

/** What the waiting goroutines of a program work on that stands still. */
export function surveyWork(program: GoProgram): SurveyedWork[] {
  return workIn(program, program);
}

/**
 * The same of a program that runs. Each call of `now` gives the program over memory that is read from then on. It is read in
 * windows larger than an object, so values are read in windows of which none is older than the record of a goroutine. Those that
 * moved while they were read are left out.
 */
export function surveyRunning(now: () => GoProgram): SurveyedWork[] {
  const records = now();
  onFault(
    () => records.goroutineColumns,
    () => null,
  );
  const found = workIn(records, now());
  const after = now();
  return found.filter(({ g }) => stayed(after, g));
}

/** The work of the goroutines in `records`, whose stacks and values are those in `program`. */
function workIn(records: GoProgram, program: GoProgram): SurveyedWork[] {
  const reader = new WorkReader(program);
  const found: SurveyedWork[] = [];
  onFault(
    () => {
      for (const g of records.goroutines('stack')) {
        if (g.status !== 'waiting' || isUncounted(g, program.waitReasons)) continue;
        const work = reader.of(program.stackOf(g).frames);
        if (work.length > 0) found.push({ g, work });
      }
    },
    () => undefined,
  );
  return found;
}

/**
 * Keeps, of what was surveyed before a copy was made, the work of goroutines that the copy shows where they were then. Before Go
 * 1.17 nothing shows whether a goroutine ran and came back to the same place: only work that `surveyAgain` finds to be the same
 * after the copy is kept, as probable.
 */
export function keepUnmoved(
  program: GoProgram,
  surveyed: readonly SurveyedWork[],
  surveyAgain: () => readonly SurveyedWork[],
): SurveyedWork[] {
  const torn = new Set<number>(program.image.capture.torn);
  const kept = surveyed.filter(({ g }) => !torn.has(g.addr) && stayed(program, g));
  if (countsRuns(program.layouts)) return kept;
  const later = new Map(surveyAgain().map(({ g, work }) => [g.addr, { goid: g.goid, work }]));
  return kept.flatMap(({ g, work }) => {
    const then = later.get(g.addr);
    const isSame = (one: DecodedWork): boolean =>
      then?.work.some(({ kind, text, since }) => kind === one.kind && text === one.text && since === one.since) ===
      true;
    return then?.goid === g.goid ? [{ g, work: work.filter(isSame).map((one) => ({ ...one, sure: false })) }] : [];
  });
}

/** What a snapshot keeps of work, at a level. */
export function storedWork(level: ValueLevel, surveyed: readonly SurveyedWork[]): StoredWork {
  const kept = level === 'none' ? [] : surveyed;
  return { level, byG: new Map(kept.map(({ g, work }) => [g.addr, work.map((one) => atLevel(level, one))])) };
}

function atLevel(level: ValueLevel, { kind, text, shape, sure, since, group }: DecodedWork): Work {
  return { kind, text: level === 'full' ? text : shape, sure, since, group };
}

function stayed(program: GoProgram, before: G): boolean {
  for (const after of program.goroutinesAt([before.addr])) return isSamePlace(before, after) && !hasRun(before, after);
  return false;
}
