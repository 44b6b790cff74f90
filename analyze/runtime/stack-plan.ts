import { plus, type Addr } from '../../snapshots/address.js';
import type { Range } from '../../snapshots/memory.js';
import { RangeList, type Runs } from '../../snapshots/runs.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import { plannedStack, readable, usedStack } from './memory-ranges.js';
import { WaitReader } from './wait-records.js';

/** Above every status; _Gscan, which may be added to one, is a multiple of it. */
const STATUS_LIMIT = 0x1000;
const GWAITING = 4;
const GDEAD = 6;
const GDEADEXTRA = 11;
const TWO_32 = 2 ** 32;

/** Where goroutines change their stack without leaving a trace in their g: coroutines switch by a CAS of their own. */
export const UNTRACKED_REASONS: ReadonlySet<string> = new Set(['coroutine', 'preempted']);
const MAX_REASONS = 256;
/** Words that are kept of each goroutine, half a cache line in all. */
const KEPT_WORDS = 8;

/**
 * Which stack of which goroutine is read, decided while the program runs, and which of them still hold what is in use
 * in the stop. The checks touch every goroutine and are made for speed: some tens of nanoseconds each.
 *
 * A stack that was read ahead holds in the stop if its goroutine was waiting both times, in the same place, without
 * having run in between: g.trackingSeq goes up each time it leaves running (casgstatus in proc.go, 1.17+). Before, there
 * is no such count: then no P may have scheduled anything.
 */
export class StackPlan {
  /** Addresses of the gs, ascending: so they lie in the buffers too. */
  readonly goroutines: Float64Array;
  /** The stacks to read. */
  readonly ranges = new RangeList();
  /** The queues that goroutines wait in: they hold as long as the stacks. */
  readonly queues = new RangeList();
  /** The words of the mutexes and their like that goroutines wait for. */
  readonly syncWords = new RangeList();
  /** The label sets of all goroutines: shared by many, and never changed once made. */
  readonly labels: ReadonlySet<Addr>;
  /** What GODEBUG=tracebackancestors keeps of each goroutine, never changed either. */
  readonly ancestors: readonly Addr[];
  /**
   * Offsets in a g of 32-bit words that are all the same as long as a goroutine that waits stays where it is: the lower
   * halves of where it is parked and of who it is, and of where its stack lies what tells addresses below 2^40 apart.
   */
  readonly place: readonly number[];
  readonly #from: Float64Array;
  readonly #to: Float64Array;
  readonly #at;
  readonly #trackingSeq: number | null;
  readonly #untracked = new Uint8Array(MAX_REASONS);
  readonly #sizeBytes: number;
  /** By goroutine, what {@link remember} took of it: what it does in the first word, then its place. */
  readonly #kept: Uint32Array;
  #keptTicks: readonly number[] = [];
  readonly #schedticks: readonly Addr[];
  #offsets = new Float64Array(0);
  #runs = new Int32Array(0);
  #tickOffsets: readonly number[] = [];

  constructor(program: GoRuntime, goroutines: Float64Array) {
    const g = program.layouts.of('g');
    const gobuf = program.layouts.of('gobuf');
    this.goroutines = goroutines.slice().sort();
    this.#kept = new Uint32Array(KEPT_WORDS * goroutines.length);
    this.#sizeBytes = g.sizeBytes;
    this.#at = {
      stack: g.offset('stack'),
      sched: g.offset('sched') + gobuf.offset('sp'),
      syscallsp: g.offset('syscallsp'),
      atomicstatus: g.offset('atomicstatus'),
      waitreason: g.offset('waitreason'),
      labels: g.offset('labels'),
    };
    const schedpc = g.offset('sched') + gobuf.offset('pc');
    this.place = [this.#at.sched, schedpc, this.#at.stack + 1, g.offset('goid')];
    this.#trackingSeq = g.optional('trackingSeq');
    for (let reason = 0; reason < MAX_REASONS; reason++) {
      if (UNTRACKED_REASONS.has(program.waitReasons.at(reason) ?? '')) this.#untracked[reason] = 1;
    }
    this.#schedticks = program.processors.map((p) => plus(p.addr, program.layouts.of('p').offset('schedtick')));
    this.#from = new Float64Array(goroutines.length);
    this.#to = new Float64Array(goroutines.length);
    const labels = new Set<Addr>();
    const ancestors: Addr[] = [];
    const waits = new WaitReader(program);
    for (const [i, address] of this.goroutines.entries()) {
      const read = readable(program, address as Addr);
      if (read === null) continue;
      if (read.labels !== 0) labels.add(read.labels);
      if (read.ancestors !== 0) ancestors.push(read.ancestors);
      const waitsFor = waits.waitsFor(read);
      if (waitsFor !== null) {
        this.queues.addAll(waits.queuesOf(waitsFor));
        this.syncWords.addAll(waits.wordsOf(waitsFor));
      }
      const range = stackToRead(read);
      if (range === null) continue;
      this.ranges.add(range.lo, range.hi);
      this.#from[i] = range.lo;
      this.#to[i] = range.hi;
    }
    this.labels = labels;
    this.ancestors = ancestors;
  }

  /** Looks up where each g and stack will lie in the buffers, ahead of the stop. All must be among these runs. */
  bind(records: Runs, stacks: Runs): void {
    this.#offsets = this.goroutines.map((g) => records.offsetOf(g, this.#sizeBytes));
    this.#runs = Int32Array.from(this.#from, (from) => (from === 0 ? -1 : stacks.indexOf(from)));
    this.#tickOffsets = this.#schedticks.map((at) => records.offsetOf(at, 4));
  }

  /** Keeps of the records what {@link compare} holds others against. */
  remember(records: DataView): void {
    const kept = this.#kept;
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0) continue;
      let at = KEPT_WORDS * i;
      kept[at++] = this.#doing(records, g);
      for (const offset of this.place) kept[at++] = records.getUint32(g + offset, true);
    }
    this.#keptTicks = this.#ticks(records);
  }

  /**
   * Marks in `restless` (1 by index) the goroutines that may have moved since the records that were remembered: those
   * from the index `first` on that lie before the offset `end` of the records. Answers the index of the next one, so that
   * records can be compared as they come in, while the CPU still has them at hand. {@link compareTicks} completes it.
   */
  compare(records: DataView, restless: Uint8Array, first = 0, end = records.byteLength): number {
    const offsets = this.#offsets;
    const size = this.#sizeBytes;
    let i = first;
    for (; i < offsets.length; i++) {
      const g = offsets[i] ?? -1;
      if (g + size > end) break;
      if (g < 0 || restless[i] === 1) continue;
      const doing = this.#doing(records, g);
      const status = doing % STATUS_LIMIT;
      if (status === GDEAD || status === GDEADEXTRA) continue;
      if (status !== GWAITING || !this.#stayed(records, g, i, doing)) restless[i] = 1;
    }
    return i;
  }

  /** Where goroutines do not tell by themselves whether they ran: marks them all if any P has scheduled one since. */
  compareTicks(records: DataView, restless: Uint8Array): void {
    if (this.#trackingSeq !== null || !this.#scheduledSince(records)) return;
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g >= 0 && !this.#isDead(records, g)) restless[i] = 1;
    }
  }

  /**
   * What must be read again of the goroutines marked in `restless`: runs of planned stacks are marked in `dirty` (1 by
   * index), stacks in use that are not wholly in what was planned are returned.
   */
  stacksOf(restless: Uint8Array, records: DataView, dirty: Uint8Array): Range[] {
    const out: Range[] = [];
    for (const i of marked(restless)) {
      const g = this.#offsets[i] ?? -1;
      const range = g < 0 || this.#isDead(records, g) ? null : this.#used(records, g);
      if (range === null) continue;
      const run = this.#runs[i] ?? -1;
      if (run >= 0 && range.lo >= (this.#from[i] ?? 0) && range.hi <= (this.#to[i] ?? 0)) dirty[run] = 1;
      else out.push(range);
    }
    return out;
  }

  /**
   * Marks in `restless` the goroutines that moved between the planning and the first reading of the records: those whose
   * stack in use is not wholly in what was planned.
   */
  markUnplanned(records: DataView, restless: Uint8Array): void {
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0) continue;
      const range = this.#used(records, g);
      if (range !== null && (range.lo < (this.#from[i] ?? 0) || range.hi > (this.#to[i] ?? 0))) restless[i] = 1;
    }
  }

  #used(records: DataView, g: number): Range | null {
    const at = this.#at;
    const syscallsp = word(records, g + at.syscallsp);
    const sp = syscallsp === 0 ? word(records, g + at.sched) : syscallsp;
    return usedStack(word(records, g + at.stack), word(records, g + at.stack + 8), sp);
  }

  /** Goroutines whose g lies at or behind an offset of the records. */
  from(offset: number): Addr[] {
    return [...this.goroutines.filter((_, i) => (this.#offsets[i] ?? -1) >= offset)] as Addr[];
  }

  /** Label sets that goroutines were given since: all of them, or those marked in `among`. */
  newLabels(records: DataView, among: Uint8Array | null): Addr[] {
    const out = new Set<Addr>();
    const { labels } = this.#at;
    for (const i of among === null ? this.#offsets.keys() : marked(among)) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0) continue;
      const set = word(records, g + labels) as Addr;
      if (set !== 0 && !this.labels.has(set)) out.add(set);
    }
    return [...out];
  }

  /** Status, wait reason and trackingSeq in one number. */
  #doing(records: DataView, g: number): number {
    const status = records.getUint32(g + this.#at.atomicstatus, true) & (STATUS_LIMIT - 1);
    const reason = records.getUint8(g + this.#at.waitreason);
    const seq = this.#trackingSeq === null ? 0 : records.getUint8(g + this.#trackingSeq);
    return status + STATUS_LIMIT * (reason + 256 * seq);
  }

  #isDead(records: DataView, g: number): boolean {
    const status = this.#doing(records, g) % STATUS_LIMIT;
    return status === GDEAD || status === GDEADEXTRA;
  }

  #stayed(records: DataView, g: number, index: number, doing: number): boolean {
    const kept = this.#kept;
    let at = KEPT_WORDS * index;
    if (kept[at++] !== doing || this.#untracked[records.getUint8(g + this.#at.waitreason)] === 1) return false;
    for (const offset of this.place) {
      if (kept[at++] !== records.getUint32(g + offset, true)) return false;
    }
    return true;
  }

  #scheduledSince(records: DataView): boolean {
    const kept = this.#keptTicks;
    return this.#ticks(records).some((tick, i) => tick < 0 || tick !== kept[i]);
  }

  #ticks(records: DataView): number[] {
    return this.#tickOffsets.map((at) => (at < 0 ? -1 : records.getUint32(at, true)));
  }
}

/** The stack of a goroutine that is worth reading ahead of the stop. */
export function stackToRead({ stack, sched, syscallsp }: G): Range | null {
  return plannedStack(stack.lo, stack.hi, syscallsp === 0 ? sched.sp : syscallsp);
}

/** The indices of the ones. */
export function* marked(marks: Uint8Array): Iterable<number> {
  for (let i = marks.indexOf(1); i >= 0; i = marks.indexOf(1, i + 1)) yield i;
}

function word(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}
