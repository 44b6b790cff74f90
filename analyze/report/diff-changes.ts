import type { Addr } from '../../snapshots/address.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import { hasRun, isSamePlace, isUncounted } from '../runtime/parked.js';
import { Describer, type Described } from './goroutines.js';
import { nameKey, type GroupBy } from './groups.js';
import { LongList } from './long-list.js';
import type { Loc } from './model.js';

/** What a goroutine was doing, and where. */
export interface GoroutineState {
  readonly status: GoroutineStatus;
  readonly waitReason: string | null;
  /** The innermost frame outside the runtime, else the innermost of all; null where it is not known. */
  readonly at: Loc | null;
}

/** A goroutine that only one of the two captures has. */
export interface ListedGoroutine extends GoroutineState {
  readonly goid: number;
  readonly runtime: number;
  readonly entry: Loc | null;
  readonly creator: Loc | null;
}

/** A goroutine that is in another place, or does something else. */
export interface Moved {
  readonly goid: number;
  readonly runtime: number;
  readonly entry: Loc | null;
  readonly before: GoroutineState;
  readonly after: GoroutineState;
}

export interface GroupDiff {
  readonly key: string;
  readonly runtime: number;
  readonly before: number;
  readonly after: number;
  readonly growth: number;
  /** null between two processes. */
  readonly started: number | null;
  readonly ended: number | null;
}

/** What became of the goroutines of one process. Each list is in the order of their ids. */
export interface Changes {
  readonly started: LongList<ListedGoroutine>;
  readonly ended: LongList<ListedGoroutine>;
  readonly moved: LongList<Moved>;
  /** Ids of goroutines that ran and are back where they were. */
  readonly returned: LongList<number>;
  /** Ids of goroutines that did not run in between. */
  readonly parked: LongList<number>;
}

/** Goroutines of each list that get the innermost frame outside the runtime; the others get the innermost of all. */
const MAX_LOCATED = 10_000;

/** What became of the goroutines of a runtime. */
export interface GoroutineChanges {
  readonly goroutines: { readonly before: number; readonly after: number };
  /** null between two processes, whose goroutine ids cannot be compared. */
  readonly changes: Changes | null;
  /** Groups by function names, which mean the same in every build; the one that grew most comes first. */
  readonly groups: readonly GroupDiff[];
}

/**
 * Compares the goroutines of a runtime, number `runtime`, in two captures; null stands for a capture that does not have it.
 * Holds one goroutine of each at a time.
 */
export function compareGoroutines(
  before: GoProgram | null,
  after: GoProgram | null,
  { by, sameProcess, runtime }: { by: GroupBy; sameProcess: boolean; runtime: number },
): GoroutineChanges {
  const [earlier, later] = [new Side(before, by, runtime), new Side(after, by, runtime)];
  const counts = { before: 0, after: 0 };
  const groups = new GroupCounts();
  const found = new Outcomes();
  for (const { was, is } of sameProcess ? paired(earlier, later) : unpaired(earlier, later)) {
    if (was !== null) {
      const group = groups.of(was.key);
      counts.before++;
      group.before++;
      if (is === null) group.ended++;
    }
    if (is !== null) {
      const group = groups.of(is.key);
      counts.after++;
      group.after++;
      if (was === null) group.started++;
    }
    if (sameProcess) found.add(was?.g ?? null, is?.g ?? null, after);
  }
  return {
    goroutines: counts,
    changes: sameProcess ? changesOf(found, earlier, later) : null,
    groups: groups.all(runtime, sameProcess),
  };
}

/** A goroutine, and the name of its group. */
interface Grouped {
  readonly g: G;
  readonly key: string;
}

/** A goroutine in both captures; one of them is null where it does not exist there. */
interface Pair {
  readonly was: Grouped | null;
  readonly is: Grouped | null;
}

/**
 * Pairs the goroutines of one process. A goroutine has the same g as long as it lives (newproc1 and gdestroy in proc.go),
 * and the next goroutine that gets the g has another id.
 */
function* paired(before: Side, after: Side): Iterable<Pair> {
  const [earlier, later] = [before.grouped(), after.grouped()];
  let [was, is] = [next(earlier), next(later)];
  while (was !== null || is !== null) {
    const [a, b] = [was?.g.addr ?? Infinity, is?.g.addr ?? Infinity];
    const one = a === b && was?.g.goid === is?.g.goid;
    if (one) yield { was, is };
    if (!one && a <= b) yield { was, is: null };
    if (!one && b <= a) yield { was: null, is };
    if (a <= b) was = next(earlier);
    if (b <= a) is = next(later);
  }
}

/** All goroutines of two processes. */
function* unpaired(before: Side, after: Side): Iterable<Pair> {
  for (const was of before.grouped()) yield { was, is: null };
  for (const is of after.grouped()) yield { was: null, is };
}

function next<T>(items: Iterator<T, undefined>): T | null {
  return items.next().value ?? null;
}

/** A runtime in one of the two captures; without goroutines where `program` is null. */
class Side {
  readonly runtime: number;
  readonly #program: GoProgram | null;
  readonly #describer: Describer | null;
  readonly #by: GroupBy;

  constructor(program: GoProgram | null, by: GroupBy, runtime: number) {
    this.runtime = runtime;
    this.#program = program;
    this.#describer = program === null ? null : new Describer(program);
    this.#by = by;
  }

  /** The goroutines by the address of their g. */
  *grouped(): Generator<Grouped, undefined> {
    if (this.#program === null || this.#describer === null) return;
    const keyOf = nameKey(this.#program, this.#by);
    for (const g of this.#program.goroutinesByAddress()) yield { g, key: keyOf(g, this.#describer.describe(g)) };
  }

  /** The goroutine at an address; null where it cannot be read any more, since the file was damaged meanwhile. */
  at(address: number): Described | null {
    const g = this.#program?.goroutineReader.tryRead(address) ?? null;
    return g === null || this.#describer === null ? null : { g, goroutine: this.#describer.describe(g) };
  }

  stateOf({ g, goroutine }: Described, located: boolean): GoroutineState {
    const { status, waitReason, current } = goroutine;
    return { status, waitReason, at: (located ? this.#describer?.user(g) : null) ?? current };
  }

  listed(address: number, located: boolean): ListedGoroutine | null {
    const described = this.at(address);
    if (described === null) return null;
    const { goid, entry, creator } = described.goroutine;
    return { goid, runtime: this.runtime, entry, creator, ...this.stateOf(described, located) };
  }
}

function changesOf(found: Outcomes, before: Side, after: Side): Changes {
  const moved = ({ goid, addr }: Found, located: boolean): Moved | null => {
    const [was, is] = [before.at(addr), after.at(addr)];
    if (was === null || is === null) return null;
    const states = { before: before.stateOf(was, located), after: after.stateOf(is, located) };
    return { goid, runtime: after.runtime, entry: is.goroutine.entry, ...states };
  };
  return {
    started: listOf(found.started, ({ addr }, located) => after.listed(addr, located)),
    ended: listOf(found.ended, ({ addr }, located) => before.listed(addr, located)),
    moved: listOf(found.moved, moved),
    returned: listOf(found.returned, ({ goid }) => goid),
    parked: listOf(found.parked, ({ goid }) => goid),
  };
}

/** Goroutines as `make` describes them, without those for which it returns null. */
function listOf<T>(found: FoundList, make: (found: Found, located: boolean) => T | null): LongList<T> {
  const made = function* (which: Iterable<Found>, located: boolean): Iterable<T> {
    for (const one of which) {
      const item = make(one, located);
      if (item !== null) yield item;
    }
  };
  // Made at once: following their stacks may add warnings.
  const located = [...made(found.slice(0, MAX_LOCATED), true)];
  return new LongList(found.length, function* () {
    yield* located;
    yield* made(found.slice(MAX_LOCATED), false);
  });
}

/** What became of each goroutine. */
class Outcomes implements Readonly<Record<keyof Changes, FoundList>> {
  readonly started = new FoundList();
  readonly ended = new FoundList();
  readonly moved = new FoundList();
  readonly returned = new FoundList();
  readonly parked = new FoundList();

  /** Adds a goroutine as each capture has it, of which the later is `after`. */
  add(was: G | null, is: G | null, after: GoProgram | null): void {
    if (was === null) this.started.add(is);
    else if (is === null) this.ended.add(was);
    else if (!isSamePlace(was, is)) this.moved.add(is);
    else if (hasRun(was, is) || (after !== null && isUncounted(is, after.waitReasons))) this.returned.add(is);
    else this.parked.add(is);
  }
}

/** A goroutine, and the address of its g. */
type Found = Pick<G, 'goid' | 'addr'>;

/** Goroutines in columns: 16 bytes for each of them. */
class FoundList {
  length = 0;
  #goids = new Float64Array(1024);
  #addresses = new Float64Array(1024);
  #order: Uint32Array | null = null;

  add(found: Found | null): void {
    if (found === null) return;
    if (this.length === this.#goids.length) {
      this.#goids = doubled(this.#goids);
      this.#addresses = doubled(this.#addresses);
    }
    this.#goids[this.length] = found.goid;
    this.#addresses[this.length++] = found.addr;
    this.#order = null;
  }

  /** By id, from the `from`th on to before the `to`th. */
  *slice(from: number, to = this.length): Iterable<Found> {
    const goids = this.#goids.subarray(0, this.length);
    this.#order ??= ascendingOrder(goids);
    for (const i of this.#order.subarray(from, to))
      yield { goid: goids[i] ?? 0, addr: (this.#addresses[i] ?? 0) as Addr };
  }
}

function doubled(column: Float64Array): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(2 * column.length);
  longer.set(column);
  return longer;
}

interface Counts {
  before: number;
  after: number;
  started: number;
  ended: number;
}

/** How many goroutines are in each group, by its name. */
class GroupCounts {
  readonly #counts = new Map<string, Counts>();

  of(key: string): Counts {
    let counts = this.#counts.get(key);
    if (counts === undefined) this.#counts.set(key, (counts = { before: 0, after: 0, started: 0, ended: 0 }));
    return counts;
  }

  all(runtime: number, sameProcess: boolean): GroupDiff[] {
    return [...this.#counts]
      .map(([key, { before, after, started, ended }]) => ({
        ...{ key, runtime, before, after, growth: after - before },
        started: sameProcess ? started : null,
        ended: sameProcess ? ended : null,
      }))
      .sort(byGrowth);
  }
}

/** The order of groups. */
export function byGrowth(a: GroupDiff, b: GroupDiff): number {
  return b.growth - a.growth || b.after - a.after || (a.key < b.key ? -1 : 1);
}
