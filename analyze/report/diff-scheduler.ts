import type { GoProgram } from '../program.js';
import type { ProcessorStatus } from '../runtime/processor.js';
import type { GcPhase } from '../runtime/sched.js';
import type { Processor, Scheduler } from './model.js';
import { NO_SCHED, readScheduler } from './scheduler.js';

/** A number in both captures. */
export interface Change {
  readonly before: number;
  readonly after: number;
}

/** A P in both captures. `before` or `after` is null where it did not exist; counts are null between two processes. */
export interface ProcessorDiff {
  readonly id: number;
  readonly runtime: number;
  readonly before: ProcessorStatus | null;
  readonly after: ProcessorStatus | null;
  /** How many times it scheduled a goroutine in between. */
  readonly schedtick: number | null;
  /** By how much p.syscalltick went up. */
  readonly syscalltick: number | null;
  readonly runqsize: Change;
}

/** An M in both captures. */
export interface MachineDiff {
  readonly id: number;
  readonly runtime: number;
  readonly tid: number | null;
  /** Id of the goroutine that it ran; null for none, and where the M did not exist. */
  readonly before: number | null;
  readonly after: number | null;
}

export interface SchedulerDiff {
  readonly ps: readonly ProcessorDiff[];
  /** The lists are null between two processes, whose ids cannot be compared. */
  readonly ms: {
    readonly total: Change;
    readonly started: readonly MachineDiff[] | null;
    readonly ended: readonly MachineDiff[] | null;
    /** Ms that run another goroutine than before. */
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
      readonly before: GcPhase | null;
      readonly after: GcPhase | null;
    };
  };
}

const TWO_32 = 2 ** 32;

/** Finds out what the scheduler of one runtime, number `n`, did between two captures; null where there was none. */
export function compareSchedulers(
  before: GoProgram | null,
  after: GoProgram | null,
  sameProcess: boolean,
  n: number,
): SchedulerDiff {
  const [was, is] = [schedulerOf(before), schedulerOf(after)];
  const ps = comparePs(was.ps, is.ps, sameProcess, n);
  const total = (of: (p: ProcessorDiff) => number | null): number | null =>
    sameProcess ? ps.reduce((sum, p) => sum + (of(p) ?? 0), 0) : null;
  const change = (field: 'runqsize' | 'nmidle' | 'npidle' | 'nmspinning'): Change => ({
    before: was.sched[field],
    after: is.sched[field],
  });
  return {
    ps,
    ms: compareMs(before, after, sameProcess, n),
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

function schedulerOf(program: GoProgram | null): Scheduler {
  return program === null ? { ps: [], sched: { ...NO_SCHED, gcPhase: null } } : readScheduler(program);
}

function comparePs(
  before: readonly Processor[],
  after: readonly Processor[],
  sameProcess: boolean,
  runtime: number,
): ProcessorDiff[] {
  // By id: a P that cannot be read is missing from one of the lists.
  const [earlier, later] = [before, after].map((ps) => new Map(ps.map((p) => [p.id, p])));
  const ids = [...new Set([...before, ...after].map(({ id }) => id))].sort((a, b) => a - b);
  return ids.map((id) => {
    const [was, is] = [earlier?.get(id), later?.get(id)];
    // The ticks are 32 bits wide. A P that is new starts at 0.
    const ticks = (of: 'schedtick' | 'syscalltick'): number | null =>
      !sameProcess || is === undefined ? null : (is[of] - (was?.[of] ?? 0) + TWO_32) % TWO_32;
    return {
      ...{ id, runtime },
      before: was?.status ?? null,
      after: is?.status ?? null,
      schedtick: ticks('schedtick'),
      syscalltick: ticks('syscalltick'),
      runqsize: { before: was?.runqsize ?? 0, after: is?.runqsize ?? 0 },
    };
  });
}

function compareMs(
  before: GoProgram | null,
  after: GoProgram | null,
  sameProcess: boolean,
  runtime: number,
): SchedulerDiff['ms'] {
  const total = { before: before?.machines.length ?? 0, after: after?.machines.length ?? 0 };
  if (!sameProcess) return { total, started: null, ended: null, changed: null };
  const [was, is] = [running(before), running(after)];
  const all = [...new Set([...was.keys(), ...is.keys()])].sort((a, b) => a - b);
  const diffs = all.map((id): MachineDiff => {
    const tid = is.get(id)?.tid ?? was.get(id)?.tid ?? null;
    return { id, runtime, tid, before: was.get(id)?.goid ?? null, after: is.get(id)?.goid ?? null };
  });
  return {
    total,
    started: diffs.filter(({ id }) => !was.has(id)),
    ended: diffs.filter(({ id }) => !is.has(id)),
    changed: diffs.filter((m) => was.has(m.id) && is.has(m.id) && m.before !== m.after),
  };
}

/** Each M by its id: its thread, and the id of the goroutine that it runs. */
function running(program: GoProgram | null): Map<number, { tid: number; goid: number | null }> {
  if (program === null) return new Map();
  return new Map(
    program.machines.map((m) => {
      const goid = m.curg === 0 ? 0 : program.goroutineReader.goidAt(m.curg);
      return [m.id, { tid: program.threadOf(m)?.tid ?? m.procid, goid: goid === 0 ? null : goid }];
    }),
  );
}
