import { MemoryFault } from '../../snapshots/memory.js';
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

/**
 * What the waiting goroutines of a program work on. If the program runs, `again` is the program over memory that is read anew:
 * goroutines that moved while they were read are left out.
 */
export function surveyWork(program: GoProgram, again: GoProgram | null): SurveyedWork[] {
  const reader = new WorkReader(program);
  const found: SurveyedWork[] = [];
  try {
    for (const g of program.goroutines('stack')) {
      if (g.status !== 'waiting' || isUncounted(g, program.waitReasons)) continue;
      const work = reader.of(program.stackOf(g).frames);
      if (work.length > 0) found.push({ g, work });
    }
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
  }
  return again === null ? found : found.filter(({ g }) => stayed(again, g));
}

/**
 * Keeps, of what was surveyed before a copy was made, the work of goroutines that the copy shows where they were then. Before Go
 * 1.17 nothing shows whether a goroutine ran and came back to the same place: what is known of it is only probable.
 */
export function keepUnmoved(program: GoProgram, surveyed: readonly SurveyedWork[]): SurveyedWork[] {
  const torn = new Set<number>(program.image.capture.torn);
  const isCounted = countsRuns(program.layouts);
  return surveyed
    .filter(({ g }) => !torn.has(g.addr) && stayed(program, g))
    .map(({ g, work }) => (isCounted ? { g, work } : { g, work: work.map((one) => ({ ...one, sure: false })) }));
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
