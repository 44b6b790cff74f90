import { indexOfG, OUTCOMES } from '../../snapshots/leak-proof.js';
import { isLeaked } from '../leaks/verdicts.js';
import type { GoProgram } from '../program.js';
import type { Finding, Goroutine, LongWait, Loc, Summary } from './model.js';
import { LocationResolver } from './locations.js';

/** Goroutines of one function in one state stand out if there are so many, and if they are this share of all. */
const MANY = 1000;
const MANY_SHARE = 0.5;
/** In a program with fewer goroutines, a wait that most of them share does not stand out. */
const FEW = 100;
/** Stacks that must be equal before the stacks of many goroutines are said to be. */
const SAMPLED = 64;
const SHOWN_GOIDS = 10;
const LONGEST_WAITS = 5;
/** A run is long at ten times the 10 ms after which sysmon preempts a goroutine (forcePreemptNS in proc.go). */
const LONG_RUN_NS = 100e6;
/** Run queues are long if so many goroutines wait for each P on average. */
const LONG_QUEUE = 4;
/** Waits that most goroutines may share although all is well: idle connections are normal for servers. */
const HARMLESS = new Set(['IO wait']);

/** A finding about the one program whose goroutines are counted. */
type Found = Omit<Finding, 'runtime'>;

/** The goroutines of one function in one state. */
interface StateGroup {
  readonly entry: Loc | null;
  readonly state: string;
  count: number;
  /** Ids of {@link SAMPLED} of them: the first ones, then some of those that follow. */
  readonly sample: number[];
}

/** Counts goroutines one at a time and finds what stands out. It ignores the runtime's own goroutines. */
export class FindingsCollector {
  readonly #groups = new Map<Loc | null, Map<string, StateGroup>>();
  readonly #states = new Map<string, number>();
  #longest: LongWait[] = [];
  #count = 0;

  add(goroutine: Goroutine): void {
    if (goroutine.system) return;
    this.#count++;
    const state = goroutine.waitReason ?? goroutine.status;
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1);
    this.#join(goroutine, state);
    const { goid, runtime, waitSinceNs, waitReason, entry } = goroutine;
    if (waitSinceNs === null || waitSinceNs <= (this.#longest[LONGEST_WAITS - 1]?.waitSinceNs ?? -1)) return;
    this.#longest.push({ goid, runtime, waitSinceNs, waitReason, entry });
    this.#longest.sort((a, b) => b.waitSinceNs - a.waitSinceNs || a.goid - b.goid).splice(LONGEST_WAITS);
  }

  /** The goroutines that are known to have waited longest, the longest first. */
  get longestWaits(): readonly LongWait[] {
    return this.#longest;
  }

  /** What stands out, the most important first. `program` is the one whose goroutines were added. */
  findings(program: GoProgram, { ps, sched }: Pick<Summary, 'ps' | 'sched'>): Finding[] {
    const found = [
      ...provedLeaks(program),
      ...this.#equalStacks(program),
      ...this.#sharedWait(),
      ...allInSyscalls(ps),
      ...longQueues(ps, sched),
      ...longRuns(ps),
    ];
    return found.map(({ code, ...finding }) => ({ code, runtime: program.runtime.n, ...finding }));
  }

  #join({ entry, goid }: Goroutine, state: string): void {
    let states = this.#groups.get(entry);
    if (states === undefined) this.#groups.set(entry, (states = new Map<string, StateGroup>()));
    let group = states.get(state);
    if (group === undefined) states.set(state, (group = { entry, state, count: 0, sample: [] }));
    group.count++;
    if (group.sample.length < SAMPLED) group.sample.push(goid);
    else if (group.count % SAMPLED === 0) group.sample[(group.count / SAMPLED) % SAMPLED] = goid;
  }

  #equalStacks(program: GoProgram): Found[] {
    const groups = [...this.#groups.values()].flatMap((states) => [...states.values()]);
    const largest = groups.reduce<StateGroup | null>((a, b) => (a === null || b.count > a.count ? b : a), null);
    if (largest === null || largest.count < MANY || largest.count < MANY_SHARE * this.#count) return [];
    const { entry, state, count, sample } = largest;
    const { user, equal } = compareStacks(program, new Set(sample));
    if (equal < sample.length) return [];
    const where = user === null ? '' : `, at ${user.func} (${user.file}:${user.line})`;
    const message =
      `${count} of ${this.#count} goroutines were started as ${entry?.func ?? '?'} and are alike: ${state}${where}; ` +
      `the ${sample.length} stacks that were compared are equal`;
    return [{ code: 'equal-stacks', count, goids: first(sample), message }];
  }

  #sharedWait(): Found[] {
    if (this.#count < FEW) return [];
    for (const [state, count] of this.#states) {
      if (count <= this.#count / 2 || HARMLESS.has(state)) continue;
      const groups = [...this.#groups.values()].flatMap((states) => states.get(state) ?? []);
      const goids = groups.flatMap(({ sample }) => sample);
      const most = groups.find((group) => group.entry !== null && group.count > count / 2);
      const number = most?.count === count ? 'all' : most?.count;
      const where = most === undefined ? '' : `, ${number ?? 0} of them started as ${most.entry?.func ?? '?'}`;
      const message = `${count} of ${this.#count} goroutines wait for the same reason: ${state}${where}`;
      return [{ code: 'shared-wait', count, goids: first(goids), message }];
    }
    return [];
  }
}

/** What the capture proved, if it did. */
function provedLeaks(program: GoProgram): Found[] {
  const proof = program.image.leaks ?? null;
  if (proof === null) return [];
  const leaked: number[] = [];
  let where: Loc | null = null;
  const locations = new LocationResolver(program);
  for (const g of program.goroutines()) {
    const i = indexOfG(proof, g.addr);
    if (i < 0 || !isLeaked(OUTCOMES[proof.outcomes[i] ?? 0] ?? 'outside')) continue;
    where ??= locations.entry(g);
    leaked.push(g.goid);
  }
  if (leaked.length === 0) return [];
  const message =
    `${leaked.length} goroutines are leaked: nothing can ever wake them` +
    (where === null ? '' : `, such as ${where.func}`) +
    ' (`gospy leaks` lists them)';
  return [{ code: 'leaked', count: leaked.length, goids: first(leaked), message }];
}

function first(goids: readonly number[]): number[] {
  return [...goids].sort((a, b) => a - b).slice(0, SHOWN_GOIDS);
}

/** Counts the goroutines of a sample whose stack equals that of the first one, and finds where the first one is. */
function compareStacks(program: GoProgram, sample: ReadonlySet<number>): { user: Loc | null; equal: number } {
  const locations = new LocationResolver(program);
  let key: string | null = null;
  let user: Loc | null = null;
  let equal = 0;
  for (const g of program.goroutinesWith(sample)) {
    const { frames } = program.stackOf(g);
    const pcs = frames.map(({ pc }) => pc).join();
    if (key === null) {
      key = pcs;
      user = locations.user(frames);
    }
    if (pcs === key) equal++;
  }
  return { user, equal };
}

function allInSyscalls(ps: Summary['ps']): Found[] {
  if (ps.length === 0 || ps.some(({ status }) => status !== 'syscall')) return [];
  const message = `all ${ps.length} Ps are in system calls: goroutines that are ready wait until sysmon takes a P back`;
  return [{ code: 'all-in-syscalls', count: ps.length, goids: [], message }];
}

function longQueues(ps: Summary['ps'], { runqsize, npidle }: Summary['sched']): Found[] {
  const waiting = ps.reduce((sum, p) => sum + p.runqsize, runqsize);
  if (npidle > 0 || ps.length === 0 || waiting < LONG_QUEUE * ps.length) return [];
  const message = `${waiting} goroutines are queued for ${ps.length} Ps, none of which is idle: the program lacks CPU`;
  return [{ code: 'long-run-queues', count: waiting, goids: [], message }];
}

function longRuns(ps: Summary['ps']): Found[] {
  const stuck = ps.filter((p) => p.status === 'running' && (p.sinceScheduledNs ?? 0) >= LONG_RUN_NS);
  if (stuck.length === 0) return [];
  const longest = Math.max(...stuck.map((p) => p.sinceScheduledNs ?? 0));
  const names = stuck.map((p) => `P${p.id}`).join(', ');
  const message = `${names} ran one goroutine without a break for up to ${Math.round(longest / 1e6)} ms: others wait behind it`;
  return [{ code: 'long-run', count: stuck.length, goids: [], message }];
}
