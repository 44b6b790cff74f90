import type { Addr } from '../../snapshots/address.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { firstAbove, firstIndex } from '../../snapshots/binary-search.js';
import { wordAt } from '../../snapshots/bytes.js';
import type { Range } from '../../snapshots/memory.js';
import { RangeList, type Runs } from '../../snapshots/runs.js';
import { addDeferRecords } from './defer-records.js';
import type { GoRuntime } from './go-runtime.js';
import { savedSp, type G } from './goroutine.js';
import { plannedStack, readGoroutine, usedFrom, usedTo } from './memory-ranges.js';
import type { MovedWalk } from './moved-walk.js';
import { countsRuns, ParkedWords } from './parked.js';
import type { CopiedParts } from './pointer-walk.js';
import { WaitPlan, type ReadFirst } from './wait-plan.js';
import { isBlocked } from './wait-records.js';
import { Whereabouts } from './whereabouts.js';

/** Goroutines that are looked at together. */
const BATCH = 4096;
/** Goroutines that stand for others, in all and of those that are alike. */
const MAX_EXAMPLES = 256;
const MAX_ALIKE = 16;

/**
 * Decides, while the program runs, which stack of which goroutine is read; and in the stop, which of those that were read
 * ahead can be kept. The checks touch every goroutine and are made for speed: some tens of nanoseconds each.
 *
 * A stack that was read ahead is kept if its goroutine stayed parked: see parked.ts.
 */
export class StackPlan {
  /** Addresses of the gs, ascending, which is also their order in the buffers. */
  readonly goroutines: Float64Array;
  /** The stacks to read. */
  readonly ranges = new RangeList();
  /** What goroutines wait in. */
  readonly waits: WaitPlan;
  /** The label sets of all goroutines: shared by many, and never changed once made. */
  readonly labels: ReadonlySet<Addr>;
  /** What GODEBUG=tracebackancestors keeps of each goroutine, never changed either. */
  readonly ancestors: ReadonlySet<Addr>;
  /** Some goroutines of each kind that waits: the code of the frames of others is mostly the same. */
  readonly examples: readonly G[];
  /** By index of a goroutine, the planned part of its stack; 0 and 0 if there is none. */
  readonly #from: Float64Array;
  readonly #to: Float64Array;
  /** Offsets in a g. */
  readonly #at;
  readonly #parked: ParkedWords;
  /** True if the gs show whether they ran. */
  readonly #countsRuns: boolean;
  readonly #sizeBytes: number;
  /** By index of a goroutine, 1 if it has moved and {@link addMarked} could add nothing of it, by the records compared last. */
  readonly #bare: Uint8Array;
  /** By index of a goroutine: the offset of its g in the records, and the run of its stack; -1 if there is none. */
  #offsets = new Float64Array(0);
  #runs = new Int32Array(0);

  /** `goroutines` are the addresses of all gs. `readFirst` makes reading them quicker. */
  constructor(program: GoRuntime, goroutines: Float64Array, readFirst: ReadFirst = (over) => over) {
    const { layouts, waitReasons } = program;
    const g = layouts.of('g');
    this.goroutines = goroutines.slice().sort();
    this.#sizeBytes = g.sizeBytes;
    this.#at = {
      stack: g.offset('stack'),
      sp: g.offset('sched') + layouts.of('gobuf').offset('sp'),
      syscallsp: g.offset('syscallsp'),
    };
    this.#parked = new ParkedWords(layouts, waitReasons, goroutines.length);
    this.#countsRuns = countsRuns(layouts);
    this.#bare = new Uint8Array(goroutines.length);
    this.#from = new Float64Array(goroutines.length);
    this.#to = new Float64Array(goroutines.length);
    this.waits = new WaitPlan(program, this.gs, readFirst);
    const labels = new Set<Addr>();
    const ancestors = new Set<Addr>();
    const examples = new Map<number, G[]>();
    for (let first = 0; first < goroutines.length; first += BATCH) {
      const addresses = this.goroutines.subarray(first, first + BATCH);
      const withGs = readFirst(program, rangesOf(addresses, g.sizeBytes), 'gs');
      const batch: G[] = [];
      for (let i = 0; i < addresses.length; i++) {
        const read = readGoroutine(withGs, (addresses[i] ?? 0) as Addr);
        if (read === null) continue;
        if (read.labels !== 0) labels.add(read.labels);
        if (read.ancestors !== 0) ancestors.add(read.ancestors);
        batch.push(read);
        if (isBlocked(read)) addExample(examples, read);
        const range = stackToRead(read);
        if (range === null) continue;
        this.ranges.add(range.lo, range.hi);
        this.#from[first + i] = range.lo;
        this.#to[first + i] = range.hi;
      }
      this.waits.add(withGs, addresses, batch);
      addDeferRecords(withGs, batch, readFirst, this.waits.queues);
    }
    this.waits.addFromHeaps(program);
    this.labels = labels;
    this.ancestors = ancestors;
    const kinds = [...examples.values()];
    this.examples = [...kinds.flatMap((alike) => alike.slice(0, 1)), ...kinds.flatMap((alike) => alike.slice(1))].slice(
      0,
      MAX_EXAMPLES,
    );
  }

  /** From the first g to the end of the last. */
  get gs(): Range {
    const last = this.goroutines.at(-1) ?? 0;
    return { lo: (this.goroutines[0] ?? 0) as Addr, hi: (last + this.#sizeBytes) as Addr };
  }

  /** Offsets in a g of the 32-bit words that are compared in the stop, beside its state. */
  get fingerprint(): Int32Array {
    return this.#parked.fingerprint;
  }

  /** Looks up, before the stop, where each g and stack will be in the buffers. The runs must hold all of them. */
  bind(records: Runs, stacks: Runs): void {
    this.#offsets = this.goroutines.map((g) => records.offsetOf(g, this.#sizeBytes));
    this.#runs = Int32Array.from(this.#from, (from) => (from === 0 ? -1 : stacks.indexOf(from)));
    this.#parked.bind(this.#offsets);
  }

  /** The offset of the g of the goroutine at an index in the records; -1 if it is not there. */
  offsetOf(i: number): number {
    return this.#offsets[i] ?? -1;
  }

  /** Where the goroutines that wait are by these records; null if their gs do not show whether they ran. Not for the stop. */
  whereabouts(records: DataView): Whereabouts | null {
    return this.#countsRuns ? new Whereabouts(this.goroutines, this.#parked.whereabouts(records)) : null;
  }

  /** Remembers what {@link compare} needs of these records. */
  remember(records: DataView): void {
    this.#parked.remember(records);
  }

  /**
   * Marks in `moved` (1 by index) the goroutines that may have moved since {@link remember}: from the index `first` on, up to
   * the first whose g ends after the offset `end` of the records. Returns the index of that one, so that records can be
   * compared as they are read, while they are in the CPU's cache. With a walk, it also looks for goroutines of which
   * {@link addMarked} could add nothing to it: once the stacks were read, their gs are in no cache any more.
   */
  compare(
    records: DataView,
    moved: Uint8Array,
    first = 0,
    end = records.byteLength,
    walk: MovedWalk | null = null,
  ): number {
    const [bare, parked] = [this.#bare, this.#parked];
    if (first === 0) bare.fill(0);
    if (walk === null) return parked.mark(records, moved, first, end);
    return parked.mark(records, moved, first, end, 0, (i, g) => {
      if (!walk.leadsOn(records, g, parked.coveredLabels(i))) bare[i] = 1;
    });
  }

  /** Marks every living goroutine if nothing shows whether it ran (before Go 1.17). */
  markUncounted(records: DataView, moved: Uint8Array): void {
    if (this.#countsRuns) return;
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g >= 0 && !this.#parked.isDead(records, g)) moved[i] = 1;
    }
  }

  /**
   * Marks in `dirty` (1 by index) the runs of planned stacks that must be read again for the goroutines marked in `moved`.
   * Adds to `elsewhere` the stacks in use that are not wholly within what was planned.
   */
  markStacks(moved: Uint8Array, records: DataView, dirty: Uint8Array, elsewhere: RangeList): void {
    for (let i = moved.indexOf(1); i >= 0; i = nextMarked(moved, i)) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0 || this.#parked.isDead(records, g)) continue;
      const from = this.#usedFrom(records, g);
      if (from < 0) continue;
      const to = this.#usedTo(records, g, from);
      const run = this.#runs[i] ?? -1;
      if (run >= 0 && from >= (this.#from[i] ?? 0) && to <= (this.#to[i] ?? 0)) dirty[run] = 1;
      else elsewhere.add(from, to);
    }
  }

  /** Adds to `out` the stack in use of a goroutine that is not in the plan, whose g is at an offset of `view`. */
  addStack(view: DataView, g: number, out: RangeList): void {
    const from = this.#parked.isDead(view, g) ? -1 : this.#usedFrom(view, g);
    if (from >= 0) out.add(from, this.#usedTo(view, g, from));
  }

  /**
   * Marks in `uncovered` (1 by index) the goroutines of which not all that they wait for or point to is in `copied`, which must
   * have been read after these records: a goroutine that does not move from then on has just that. The planning cannot tell,
   * since it reads a g and what it points to at different moments. Whoever stays where it was covered once is not looked at
   * again. Not for the stop.
   */
  markUncovered(records: DataView, copied: CopiedParts, walk: MovedWalk, uncovered: Uint8Array): void {
    if (!this.#countsRuns) {
      uncovered.fill(1);
      return;
    }
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0 || this.#parked.isDead(records, g)) continue;
      if (!this.isCovered(i, records, copied, walk)) uncovered[i] = 1;
    }
    walk.begin(0);
  }

  /** The same for the living goroutine at an index: true if all of it is in `copied`, or was when it last was looked at. */
  isCovered(i: number, records: DataView, copied: CopiedParts, walk: MovedWalk): boolean {
    if (this.#parked.isCovered(i, records)) return true;
    walk.begin(1);
    this.#addTo(walk, copied, records, i, 0);
    const isCovered = walk.follow(copied.records);
    if (isCovered) this.#parked.setCovered(i, records);
    return isCovered;
  }

  /**
   * Adds to a walk the goroutines that are marked in `moved` or `uncovered`, but for those that have nothing to follow. Where
   * the queues are fresh, descriptors of those that are covered are among them, but for a few that came into use since: that is
   * cheaper than to look for each.
   */
  addMarked(
    moved: Uint8Array,
    uncovered: Uint8Array,
    records: DataView,
    copied: CopiedParts,
    walk: MovedWalk,
    queuesAreFresh: boolean,
  ): void {
    const bare = this.#bare;
    for (let i = moved.indexOf(1); i >= 0; i = nextMarked(moved, i)) {
      if (bare[i] === 1 || uncovered[i] === 1) continue;
      this.#addTo(walk, copied, records, i, this.#parked.labelsBefore(i), !queuesAreFresh);
    }
    for (let i = uncovered.indexOf(1); i >= 0; i = nextMarked(uncovered, i)) {
      if (bare[i] !== 1) this.#addTo(walk, copied, records, i, this.#parked.coveredLabels(i));
    }
  }

  #addTo(
    walk: MovedWalk,
    copied: CopiedParts,
    records: DataView,
    i: number,
    knownLabels: number,
    toDescriptors = true,
  ): void {
    const g = this.#offsets[i] ?? -1;
    if (g < 0 || this.#parked.isDead(records, g)) return;
    walk.add(copied, records, g, this.goroutines[i] ?? 0, knownLabels, toDescriptors);
  }

  /** Marks in `moved` the goroutines that a thread has: their gs do not show where they are. Not for the stop. */
  markOnThreads(records: DataView, moved: Uint8Array): void {
    this.#parked.markOnThreads(records, moved);
  }

  /**
   * As {@link compare} and {@link markOnThreads}, of a part of the records that begins at the offset `from`. Not for the stop.
   */
  comparePart(part: DataView, moved: Uint8Array, first: number, from: number): number {
    const end = this.#parked.mark(part, moved, first, part.byteLength, from);
    this.#parked.markOnThreads(part, moved, first, end, from);
    return end;
  }

  /** Marks in `moved` the goroutines whose gs are at these addresses. */
  markThese(addresses: readonly Addr[], moved: Uint8Array): void {
    for (const g of addresses) {
      const i = this.indexOf(g);
      if (i >= 0) moved[i] = 1;
    }
  }

  /** The index of the goroutine whose g is at an address; -1 if the plan does not have it. */
  indexOf(g: number): number {
    const i = firstAbove(this.goroutines, g) - 1;
    return this.goroutines[i] === g ? i : -1;
  }

  /**
   * Marks in `moved` the goroutines that moved between the planning and the first reading of the records: those whose stack
   * in use is not wholly within what was planned.
   */
  markUnplanned(records: DataView, moved: Uint8Array): void {
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      const from = g < 0 ? -1 : this.#usedFrom(records, g);
      if (from < 0) continue;
      if (from < (this.#from[i] ?? 0) || this.#usedTo(records, g, from) > (this.#to[i] ?? 0)) moved[i] = 1;
    }
  }

  /** The part in use of the stack of the goroutine at an index, by these records; null if there is none. */
  stackInUse(i: number, records: DataView): Range | null {
    const g = this.#livingAt(i, records);
    const from = g < 0 ? -1 : this.#usedFrom(records, g);
    return from < 0 ? null : { lo: from as Addr, hi: this.#usedTo(records, g, from) as Addr };
  }

  /** How many bytes that part has. */
  bytesInUse(i: number, records: DataView): number {
    const g = this.#livingAt(i, records);
    const from = g < 0 ? -1 : this.#usedFrom(records, g);
    return from < 0 ? 0 : this.#usedTo(records, g, from) - from;
  }

  /** The offset in the records of the g of the goroutine at an index; -1 if it is not there, or has ended. */
  #livingAt(i: number, records: DataView): number {
    const g = this.#offsets[i] ?? -1;
    return g < 0 || this.#parked.isDead(records, g) ? -1 : g;
  }

  /** The indices of the goroutines that have a planned stack, in ascending order of the stacks. */
  get inStackOrder(): Uint32Array {
    const order = ascendingOrder(this.#from);
    return order.subarray(firstIndex(order.length, (k) => (this.#from[order[k] ?? 0] ?? 0) > 0));
  }

  /** Where the stack in use starts, without an object: -1 if there is none. */
  #usedFrom(records: DataView, g: number): number {
    const at = this.#at;
    const syscallsp = wordAt(records, g + at.syscallsp);
    const sp = syscallsp === 0 ? wordAt(records, g + at.sp) : syscallsp;
    return usedFrom(wordAt(records, g + at.stack), wordAt(records, g + at.stack + 8), sp);
  }

  /** Where it ends, if it starts at `from`. */
  #usedTo(records: DataView, g: number, from: number): number {
    return usedTo(from, wordAt(records, g + this.#at.stack + 8));
  }

  /** Goroutines whose g is at or after an offset of the records. */
  goroutinesFrom(offset: number): Addr[] {
    return [...this.goroutines.filter((_, i) => (this.#offsets[i] ?? -1) >= offset)] as Addr[];
  }
}

/** The part of a goroutine's stack that is worth reading before the stop; null if there is none. */
export function stackToRead(g: G): Range | null {
  return plannedStack(g.stack.lo, g.stack.hi, savedSp(g));
}

/**
 * Adds a goroutine to the few that are kept of each kind. Of one kind are those that wait in the same place, were started by the
 * same function, and have frames of the same size: most of them are in the same functions.
 */
function addExample(examples: Map<number, G[]>, g: G): void {
  const { startpc, sched, stack } = g;
  const kind = ((startpc * 31 + sched.pc) % 2 ** 26) * 2 ** 26 + ((stack.hi - sched.sp) % 2 ** 26);
  const alike = examples.get(kind);
  if (alike === undefined) {
    if (examples.size < MAX_EXAMPLES) examples.set(kind, [g]);
  } else if (alike.length < MAX_ALIKE) alike.push(g);
}

/** The index of the next 1 after an index, or -1. Quick whether nearly all or nearly none are ones. */
export function nextMarked(marks: Uint8Array, index: number): number {
  return marks[index + 1] === 1 ? index + 1 : marks.indexOf(1, index + 1);
}

/** True if more than a part of the marks are set. */
export function haveMany(marks: Uint8Array, part: number): boolean {
  const many = part * marks.length;
  let seen = 0;
  for (let i = marks.indexOf(1); i >= 0; i = nextMarked(marks, i)) if (++seen > many) return true;
  return false;
}

function rangesOf(addresses: Float64Array, sizeBytes: number): RangeList {
  const out = new RangeList();
  for (const address of addresses) out.add(address, address + sizeBytes);
  return out;
}
