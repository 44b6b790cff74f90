import type { GoProgram } from '../program.js';
import type { Summary } from './model.js';
import type { ProcessorStatus } from '../runtime/processor.js';
import { summarize } from './summary.js';

/** A number at both times. */
export interface Change {
  readonly before: number;
  readonly after: number;
}

/** A P at both times; null where it was not there, and where counts of two processes would be compared. */
export interface ProcessorDiff {
  readonly id: number;
  readonly before: ProcessorStatus | null;
  readonly after: ProcessorStatus | null;
  /** How often it scheduled in between. */
  readonly schedtick: number | null;
  /** How many system calls that lasted began in between. */
  readonly syscalltick: number | null;
  readonly runqsize: Change;
}

/** An M at both times. */
export interface MachineDiff {
  readonly id: number;
  readonly tid: number | null;
  /** The goroutine that it ran; null for none, and where it was not there. */
  readonly before: number | null;
  readonly after: number | null;
}

export interface SchedulerDiff {
  readonly ps: readonly ProcessorDiff[];
  /** Ids of Ms are those of one process; between two, only `total` says something. */
  readonly ms: {
    readonly total: Change;
    readonly started: readonly MachineDiff[] | null;
    readonly ended: readonly MachineDiff[] | null;
    /** Those that run another goroutine than before. */
    readonly changed: readonly MachineDiff[] | null;
  };
  readonly sched: {
    readonly runqsize: Change;
    readonly nmidle: Change;
    readonly npidle: Change;
    readonly nmspinning: Change;
    /** Sums over all Ps; null between two processes. */
    readonly schedtick: number | null;
    readonly syscalltick: number | null;
    readonly gcPhase: {
      readonly before: Summary['sched']['gcPhase'];
      readonly after: Summary['sched']['gcPhase'];
    };
  };
}

const TWO_32 = 2 ** 32;

/** What the scheduler did between two looks. */
export function comparedSchedulers(before: GoProgram, after: GoProgram, sameProcess: boolean): SchedulerDiff {
  const [was, is] = [summarize(before, []), summarize(after, [])];
  const ps = processors(was.ps, is.ps, sameProcess);
  const total = (of: (p: ProcessorDiff) => number | null): number | null =>
    sameProcess ? ps.reduce((sum, p) => sum + (of(p) ?? 0), 0) : null;
  const change = (field: 'runqsize' | 'nmidle' | 'npidle' | 'nmspinning'): Change => ({
    before: was.sched[field],
    after: is.sched[field],
  });
  return {
    ps,
    ms: machines(before, after, sameProcess),
    sched: {
      runqsize: change('runqsize'),
      nmidle: change('nmidle'),
      npidle: change('npidle'),
      nmspinning: change('nmspinning'),
      schedtick: total((p) => p.schedtick),
      syscalltick: total((p) => p.syscalltick),
      gcPhase: { before: was.sched.gcPhase, after: is.sched.gcPhase },
    },
  };
}

function processors(before: Summary['ps'], after: Summary['ps'], sameProcess: boolean): ProcessorDiff[] {
  // By id: a P that cannot be read is missing from one of the lists.
  const [earlier, later] = [before, after].map((ps) => new Map(ps.map((p) => [p.id, p])));
  const ids = [...new Set([...before, ...after].map(({ id }) => id))].sort((a, b) => a - b);
  return ids.map((id) => {
    const [was, is] = [earlier?.get(id), later?.get(id)];
    // A P of before that is gone keeps its counts; a new one begins with none.
    const ticks = (of: 'schedtick' | 'syscalltick'): number | null =>
      !sameProcess || is === undefined ? null : (is[of] - (was?.[of] ?? 0) + TWO_32) % TWO_32;
    return {
      id,
      before: was?.status ?? null,
      after: is?.status ?? null,
      schedtick: ticks('schedtick'),
      syscalltick: ticks('syscalltick'),
      runqsize: { before: was?.runqsize ?? 0, after: is?.runqsize ?? 0 },
    };
  });
}

function machines(before: GoProgram, after: GoProgram, sameProcess: boolean): SchedulerDiff['ms'] {
  const total = { before: before.machines.length, after: after.machines.length };
  if (!sameProcess) return { total, started: null, ended: null, changed: null };
  const [was, is] = [running(before), running(after)];
  const all = [...new Set([...was.keys(), ...is.keys()])].sort((a, b) => a - b);
  const diffs = all.map((id): MachineDiff => {
    const tid = is.get(id)?.tid ?? was.get(id)?.tid ?? null;
    return { id, tid, before: was.get(id)?.goid ?? null, after: is.get(id)?.goid ?? null };
  });
  return {
    total,
    started: diffs.filter(({ id }) => !was.has(id)),
    ended: diffs.filter(({ id }) => !is.has(id)),
    changed: diffs.filter((m) => was.has(m.id) && is.has(m.id) && m.before !== m.after),
  };
}

/** Each M with its thread, and the goroutine that it runs. */
function running(program: GoProgram): Map<number, { tid: number; goid: number | null }> {
  return new Map(
    program.machines.map((m) => {
      const goid = m.curg === 0 ? 0 : program.goroutineReader.goidAt(m.curg);
      return [m.id, { tid: program.threadOf(m)?.tid ?? m.procid, goid: goid === 0 ? null : goid }];
    }),
  );
}
