import type { GoProgram } from '../program.js';
import type { Finding, Goroutine, LongWait, Loc, Summary } from './model.js';
import { LocationResolver } from './locations.js';

/** Goroutines of one function in one state from which on they stand out, and their share of all. */
const MANY = 1000;
const MANY_SHARE = 0.5;
/** Goroutines below which no wait of most of them stands out. */
const FEW = 100;
/** Stacks that are compared before many are said to be equal. */
const SAMPLED = 64;
const SHOWN_GOIDS = 10;
const LONGEST_WAITS = 5;
/** sysmon takes the processor from a goroutine after 10 ms (forcePreemptNS in proc.go): ten times that is long. */
const LONG_RUN_NS = 100e6;
/** Goroutines that wait for each P, on average. */
const LONG_QUEUE = 4;
/** Connections that nobody writes to: most goroutines of a server may wait for that, and all is well. */
const HARMLESS = new Set(['IO wait']);

/** One function's goroutines in one state. */
interface StateGroup {
  readonly entry: Loc | null;
  readonly state: string;
  count: number;
  /** The first ones, then every so many-th: spread over all. */
  readonly sample: number[];
}

/** Counts goroutines as they pass, and says what stands out. The runtime's own are left out. */
export class FindingsCollector {
  readonly #crowds = new Map<Loc | null, Map<string, StateGroup>>();
  readonly #states = new Map<string, number>();
  #longest: LongWait[] = [];
  #count = 0;

  add(goroutine: Goroutine): void {
    if (goroutine.system) return;
    this.#count++;
    const state = goroutine.waitReason ?? goroutine.status;
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1);
    this.#join(goroutine, state);
    const { goid, waitSinceNs, waitReason, entry } = goroutine;
    if (waitSinceNs === null || waitSinceNs <= (this.#longest[LONGEST_WAITS - 1]?.waitSinceNs ?? -1)) return;
    this.#longest.push({ goid, waitSinceNs, waitReason, entry });
    this.#longest.sort((a, b) => b.waitSinceNs - a.waitSinceNs || a.goid - b.goid).splice(LONGEST_WAITS);
  }

  /** Those that are known to have waited longest, the longest first. */
  get longestWaits(): readonly LongWait[] {
    return this.#longest;
  }

  /** What to look at first, the most telling first; empty where nothing stands out. */
  findings(program: GoProgram, { ps, sched }: Pick<Summary, 'ps' | 'sched'>): Finding[] {
    return [
      ...this.#equalStacks(program),
      ...this.#sharedWait(),
      ...allInSyscalls(ps),
      ...longQueues(ps, sched),
      ...longRuns(ps),
    ];
  }

  #join({ entry, goid }: Goroutine, state: string): void {
    let states = this.#crowds.get(entry);
    if (states === undefined) this.#crowds.set(entry, (states = new Map<string, StateGroup>()));
    let crowd = states.get(state);
    if (crowd === undefined) states.set(state, (crowd = { entry, state, count: 0, sample: [] }));
    crowd.count++;
    if (crowd.sample.length < SAMPLED) crowd.sample.push(goid);
    else if (crowd.count % SAMPLED === 0) crowd.sample[(crowd.count / SAMPLED) % SAMPLED] = goid;
  }

  #equalStacks(program: GoProgram): Finding[] {
    const crowds = [...this.#crowds.values()].flatMap((states) => [...states.values()]);
    const largest = crowds.reduce<StateGroup | null>((a, b) => (a === null || b.count > a.count ? b : a), null);
    if (largest === null || largest.count < MANY || largest.count < MANY_SHARE * this.#count) return [];
    const { entry, state, count, sample } = largest;
    const { user, equal } = comparedStacks(program, new Set(sample));
    if (equal < sample.length) return [];
    const where = user === null ? '' : `, at ${user.func} (${user.file}:${user.line})`;
    const message =
      `${count} of ${this.#count} goroutines were started as ${entry?.func ?? '?'} and are alike: ${state}${where}; ` +
      `the ${sample.length} stacks that were compared are equal`;
    return [{ code: 'equal-stacks', count, goids: first(sample), message }];
  }

  #sharedWait(): Finding[] {
    if (this.#count < FEW) return [];
    for (const [state, count] of this.#states) {
      if (count <= this.#count / 2 || HARMLESS.has(state)) continue;
      const goids = [...this.#crowds.values()].flatMap((states) => states.get(state)?.sample ?? []);
      const message = `${count} of ${this.#count} goroutines share one wait: ${state}`;
      return [{ code: 'shared-wait', count, goids: first(goids), message }];
    }
    return [];
  }
}

function first(goids: readonly number[]): number[] {
  return [...goids].sort((a, b) => a - b).slice(0, SHOWN_GOIDS);
}

/** How many goroutines of a sample have the stack of the first of them, and where in the program that is. */
function comparedStacks(program: GoProgram, sample: ReadonlySet<number>): { user: Loc | null; equal: number } {
  const places = new LocationResolver(program);
  let key: string | null = null;
  let user: Loc | null = null;
  let equal = 0;
  for (const g of program.goroutines()) {
    if (!sample.has(g.goid)) continue;
    const { frames } = program.stackOf(g);
    const pcs = frames.map(({ pc }) => pc).join();
    if (key === null) {
      key = pcs;
      user = places.user(frames);
    }
    if (pcs === key) equal++;
  }
  return { user, equal };
}

function allInSyscalls(ps: Summary['ps']): Finding[] {
  if (ps.length === 0 || ps.some(({ status }) => status !== 'syscall')) return [];
  const message = `all ${ps.length} Ps are in system calls: goroutines that are ready wait until sysmon takes a P back`;
  return [{ code: 'all-in-syscalls', count: ps.length, goids: [], message }];
}

function longQueues(ps: Summary['ps'], { runqsize, npidle }: Summary['sched']): Finding[] {
  const waiting = ps.reduce((sum, p) => sum + p.runqsize, runqsize);
  if (npidle > 0 || ps.length === 0 || waiting < LONG_QUEUE * ps.length) return [];
  const message = `${waiting} goroutines are queued for ${ps.length} Ps, none of which is idle: the program lacks CPU`;
  return [{ code: 'long-run-queues', count: waiting, goids: [], message }];
}

function longRuns(ps: Summary['ps']): Finding[] {
  const stuck = ps.filter((p) => p.status === 'running' && (p.sinceScheduledNs ?? 0) >= LONG_RUN_NS);
  if (stuck.length === 0) return [];
  const longest = Math.max(...stuck.map((p) => p.sinceScheduledNs ?? 0));
  const names = stuck.map((p) => `P${p.id}`).join(', ');
  const message = `${names} ran one goroutine without a break for up to ${Math.round(longest / 1e6)} ms: others wait behind it`;
  return [{ code: 'long-run', count: stuck.length, goids: [], message }];
}
