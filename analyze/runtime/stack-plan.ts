import { plus, type Addr } from '../../snapshots/address.js';
import type { Range } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import type { GoProgram } from '../program.js';
import type { G } from './goroutine.js';
import { plannedStack, readable, usedStack } from './extents.js';

const GSCAN = 0x1000;
const GWAITING = 4;
const GDEAD = 6;
const GDEADEXTRA = 11;
const TWO_32 = 2 ** 32;

/** Where goroutines change their stack without leaving a trace in their g: coroutines switch by a CAS of their own. */
export const UNTRACKED_REASONS: ReadonlySet<string> = new Set(['coroutine', 'preempted']);
const MAX_REASONS = 256;

/**
 * Which stack of which goroutine is read, decided while the program runs, and which of them still hold what is in use
 * in the stop. The checks touch every goroutine and are made for speed: some tens of nanoseconds each.
 *
 * A stack that was read ahead holds in the stop if its goroutine was waiting both times, in the same place, without
 * having run in between: g.trackingSeq goes up each time it leaves running (casgstatus in proc.go, 1.17+). Before, there
 * is no such count: then no P may have scheduled anything.
 */
export class StackPlan {
  /** Addresses of the gs, in the order of runtime.allgs. */
  readonly goroutines: Float64Array;
  /** The stacks to read. */
  readonly ranges: readonly Range[];
  /** The label sets of all goroutines: shared by many, and never changed once made. */
  readonly labels: ReadonlySet<Addr>;
  /** What GODEBUG=tracebackancestors keeps of each goroutine, never changed either. */
  readonly ancestors: readonly Addr[];
  readonly #from: Float64Array;
  readonly #to: Float64Array;
  readonly #at;
  /** Words that are all the same as long as a goroutine stays where it is. */
  readonly #place: readonly number[];
  readonly #trackingSeq: number | null;
  readonly #untracked = new Uint8Array(MAX_REASONS);
  readonly #sizeBytes: number;
  readonly #schedticks: readonly Addr[];
  #offsets = new Float64Array(0);
  #runs = new Int32Array(0);
  #tickOffsets: readonly number[] = [];

  constructor(program: GoProgram, goroutines: Float64Array) {
    const g = program.layouts.of('g');
    const gobuf = program.layouts.of('gobuf');
    this.goroutines = goroutines;
    this.#sizeBytes = g.sizeBytes;
    this.#at = {
      stack: g.offset('stack'),
      sched: g.offset('sched') + gobuf.offset('sp'),
      syscallsp: g.offset('syscallsp'),
      atomicstatus: g.offset('atomicstatus'),
      waitreason: g.offset('waitreason'),
      labels: g.offset('labels'),
    };
    const { stack, sched } = this.#at;
    const schedpc = g.offset('sched') + gobuf.offset('pc');
    this.#place = [sched, schedpc, stack, stack + 8, g.offset('goid'), g.offset('waitsince')];
    this.#trackingSeq = g.optional('trackingSeq');
    for (let reason = 0; reason < MAX_REASONS; reason++) {
      if (UNTRACKED_REASONS.has(program.waitReasons.at(reason) ?? '')) this.#untracked[reason] = 1;
    }
    this.#schedticks = program.processors.map((p) => plus(p.addr, program.layouts.of('p').offset('schedtick')));
    this.#from = new Float64Array(goroutines.length);
    this.#to = new Float64Array(goroutines.length);
    const ranges: Range[] = [];
    const labels = new Set<Addr>();
    const ancestors: Addr[] = [];
    for (const [i, address] of goroutines.entries()) {
      const read = readable(program, address as Addr);
      if (read === null) continue;
      if (read.labels !== 0) labels.add(read.labels);
      if (read.ancestors !== 0) ancestors.push(read.ancestors);
      const range = stackToRead(read);
      if (range === null) continue;
      ranges.push(range);
      this.#from[i] = range.lo;
      this.#to[i] = range.hi;
    }
    this.ranges = ranges;
    this.labels = labels;
    this.ancestors = ancestors;
  }

  /** Looks up where each g and stack will lie in the buffers, ahead of the stop. All must be among these runs. */
  bind(records: Runs, stacks: Runs): void {
    this.#offsets = this.goroutines.map((g) => records.offsetOf(g, this.#sizeBytes));
    this.#runs = Int32Array.from(this.#from, (from) => (from === 0 ? -1 : stacks.indexOf(from)));
    this.#tickOffsets = this.#schedticks.map((at) => records.offsetOf(at, 4));
  }

  /**
   * Finds the goroutines that may have moved between two readings of the records, and marks them in `restless` (1 by
   * index); those that are marked already count as moved. Answers what must be read again: runs of planned stacks are
   * marked in `dirty` (1 by index), stacks in use that are not wholly in what was planned are returned.
   */
  moved(before: DataView, after: DataView, restless: Uint8Array, dirty: Uint8Array): Range[] {
    const out: Range[] = [];
    const at = this.#at;
    const untold = this.#trackingSeq === null && this.#scheduledBetween(before, after);
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0) continue;
      const status = after.getUint32(g + at.atomicstatus, true) & ~GSCAN;
      if (status === GDEAD || status === GDEADEXTRA) continue;
      if (restless[i] === 0 && status === GWAITING && !untold && this.#stayed(before, after, g)) continue;
      restless[i] = 1;
      const range = this.#used(after, g);
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

  /** Label sets that goroutines were given since. */
  newLabels(records: DataView): Addr[] {
    const out = new Set<Addr>();
    const { labels } = this.#at;
    for (let i = 0; i < this.#offsets.length; i++) {
      const g = this.#offsets[i] ?? -1;
      if (g < 0) continue;
      const set = word(records, g + labels) as Addr;
      if (set !== 0 && !this.labels.has(set)) out.add(set);
    }
    return [...out];
  }

  #stayed(before: DataView, after: DataView, g: number): boolean {
    const { atomicstatus, waitreason } = this.#at;
    const reason = after.getUint8(g + waitreason);
    if (reason !== before.getUint8(g + waitreason) || this.#untracked[reason] === 1) return false;
    if ((before.getUint32(g + atomicstatus, true) & ~GSCAN) !== GWAITING) return false;
    const seq = this.#trackingSeq;
    if (seq !== null && before.getUint8(g + seq) !== after.getUint8(g + seq)) return false;
    for (const offset of this.#place) {
      if (before.getUint32(g + offset, true) !== after.getUint32(g + offset, true)) return false;
      if (before.getUint32(g + offset + 4, true) !== after.getUint32(g + offset + 4, true)) return false;
    }
    return true;
  }

  #scheduledBetween(before: DataView, after: DataView): boolean {
    return this.#tickOffsets.some((at) => at < 0 || before.getUint32(at, true) !== after.getUint32(at, true));
  }
}

/** The stack of a goroutine that is worth reading ahead of the stop. */
export function stackToRead({ stack, sched, syscallsp }: G): Range | null {
  return plannedStack(stack.lo, stack.hi, syscallsp === 0 ? sched.sp : syscallsp);
}

function word(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}
