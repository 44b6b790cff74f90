import { wordAt } from '../../snapshots/bytes.js';
import { GOROUTINE_STATUSES, GSCAN, isOnThread, type G } from './goroutine.js';
import type { Layout, Layouts } from './layouts.js';
import type { WaitReasons } from './wait-reasons.js';

/**
 * Did a goroutine stay parked between two looks at its g? If it did, its stack holds the same frames both times.
 *
 * There is one rule, the table {@link FIELDS}. It is compiled twice: for pairs of {@link G} views (the sampler, diff), and
 * for 32-bit words in a buffer of records (a capture, which checks every goroutine while the process stands still).
 *
 * What the fields of a g cannot show, and who deals with it:
 * - trackingSeq has 8 bits: a goroutine that stops running a multiple of 256 times between two looks seems not to have run.
 *   A capture looks twice before the stop and reads again whatever moved between those two. Without a stop, a goroutine
 *   counts as parked only if two readings of its stack gave the same bytes.
 * - Coroutines (iter.Pull, 1.23+) switch by a compare-and-swap that is not counted (coroswitch_m in coro.go). Their wait
 *   reason shows them: see {@link isUncounted}.
 * - A goroutine that suspendG preempts goes from running to preempted to waiting without being counted
 *   (casGToPreemptScan, casGFromPreempted in proc.go). Its wait reason shows that too.
 * - Since Go 1.26 a system call is not counted as leaving the running state. A capture keeps only the stacks of waiting
 *   goroutines, and diff takes a goroutine in the same system call as parked.
 * - A goroutine is counted after its status says that it waits (casgstatus): one that has run and is just parking seems not
 *   to have run. Others only seem to wait, and run: see isOnThread in goroutine.ts. A thread has all of these, as g.m shows
 *   in the later look; in the stop, the goroutine of every M is read again.
 * - A g is not read in one instant, but in the order of its fields: g.m comes before the status and trackingSeq, so that of
 *   a goroutine that moves meanwhile either g.m shows it or the count.
 * - Before Go 1.17 nothing is counted, and the Ps do not tell either: a goroutine that another one readies runs on its time,
 *   without a new schedtick (inheritTime in proc.go). So a stop reads all stacks again.
 */

/** What it means if a field differs. */
type Difference =
  /** The goroutine is somewhere else, in another state, or it is another goroutine. */
  | 'moved'
  /** The goroutine ran, even if it is back in the same place. */
  | 'ran';

interface Field {
  readonly name: string;
  /** null: the field is not compared. */
  readonly difference: Difference | null;
  /** What is compared in views. */
  readonly value?: (g: G) => number;
  /** Where that is not all: whether two views differ. */
  readonly differs?: (before: G, after: G) => boolean;
  /** How the stop compares it: as part of the state word, or as the 32-bit word at an offset in the g. Absent: not at all. */
  readonly inStop?: 'state' | ((g: Layout, gobuf: Layout) => number);
}

const FIELDS: readonly Field[] = [
  // Memory of ended goroutines is used again, and newproc1 gives trackingSeq a random value: only the id tells them apart.
  // In the stop its low half is enough: between two looks no program starts 2^32 goroutines.
  {
    name: 'goid',
    difference: 'moved',
    value: ({ goid }) => goid,
    inStop: (g) => g.offset('goid'),
  },
  // A goroutine on a thread is never in the same place: see isSamePlace. The stop keeps only the stacks of waiting goroutines.
  {
    name: 'atomicstatus',
    difference: 'moved',
    value: ({ status }) => GOROUTINE_STATUSES.indexOf(status),
    inStop: 'state',
  },
  // Written as the goroutine parks. In every other status it is left over from an earlier wait.
  {
    name: 'waitreason',
    difference: 'moved',
    value: ({ status, waitreason }) => (status === 'waiting' ? waitreason : 0),
    inStop: 'state',
  },
  // 0 until a garbage collection sees the goroutine wait (markroot in mgcmark.go), and 0 again when it goes on (execute and
  // exitsyscall in proc.go). So a new stamp means nothing, but a stamp that changed or is gone means that it ran. Not in
  // the stop: it would cost one more word a goroutine and, between two looks that close, show only what trackingSeq shows.
  { name: 'waitsince', difference: 'ran', differs: (a, b) => a.waitsince !== 0 && a.waitsince !== b.waitsince },
  // Where the goroutine will resume. The low halves are enough in the stop: the upper half of sp is that of stack.lo, and
  // two places in code that are a multiple of 4 GB apart do not have the same stack pointer.
  {
    name: 'sched.sp',
    difference: 'moved',
    value: ({ sched }) => sched.sp,
    inStop: (g, gobuf) => g.offset('sched') + gobuf.offset('sp'),
  },
  {
    name: 'sched.pc',
    difference: 'moved',
    value: ({ sched }) => sched.pc,
    inStop: (g, gobuf) => g.offset('sched') + gobuf.offset('pc'),
  },
  // A garbage collection may shrink, and so move, the stack of a parked goroutine. The stop compares bits 8 to 39, of every
  // address below 2^40: stacks begin at multiples of 2 kB, so the low byte says nothing.
  {
    name: 'stack.lo',
    difference: 'moved',
    value: ({ stack }) => stack.lo,
    inStop: (g) => g.offset('stack') + 1,
  },
  // Not in the stop: a stack changes its size only by moving (copystack in stack.go), which changes stack.lo and sched.sp.
  { name: 'stack.hi', difference: 'moved', value: ({ stack }) => stack.hi },
  // In a system call the stack is unwound from here. Not in the stop: both are 0 while the goroutine waits.
  { name: 'syscallsp', difference: 'moved', value: ({ syscallsp }) => syscallsp },
  { name: 'syscallpc', difference: 'moved', value: ({ syscallpc }) => syscallpc },
  // Goes up by one each time the goroutine stops running (casgstatus in proc.go, 1.17+); since 1.26 a system call counts
  // as running. Absent before 1.17, where it is null in both views.
  { name: 'trackingSeq', difference: 'ran', value: ({ trackingSeq }) => trackingSeq ?? 0, inStop: 'state' },
  // Not compared: only the goroutine itself sets them, which has no bearing on where it is parked.
  { name: 'labels', difference: null },
];

/** True if two views of a goroutine show it in the same place: in the same state, with the same frames on its stack. */
export function isSamePlace(before: G, after: G): boolean {
  return !isOnThread(before) && !isOnThread(after) && !MOVED.some((differs) => differs(before, after));
}

/**
 * True if two views show a goroutine in a system call at the same place. Since Go 1.26 nothing tells whether it is the same
 * call.
 */
export function isSameCall(before: G, after: G): boolean {
  return before.status === 'syscall' && !MOVED.some((differs) => differs(before, after));
}

/** True if a goroutine that is in the same place ran in between. Not every release and wait reason shows that. */
export function hasRun(before: G, after: G): boolean {
  return RAN.some((differs) => differs(before, after));
}

const [MOVED, RAN] = [comparisons('moved'), comparisons('ran')] as const;

function comparisons(wanted: Difference): ((before: G, after: G) => boolean)[] {
  return FIELDS.flatMap(({ difference, value, differs }) => {
    if (difference !== wanted) return [];
    return differs ?? (value === undefined ? [] : (a: G, b: G) => value(a) !== value(b));
  });
}

/** Reasons of waits that are not counted in trackingSeq. */
const UNCOUNTED_REASONS: ReadonlySet<string> = new Set(['coroutine', 'preempted']);

/** True if a goroutine waits in a way that leaves no trace in its g when it runs and comes back. */
export function isUncounted({ status, waitreason }: G, reasons: Pick<WaitReasons, 'at'>): boolean {
  return status === 'waiting' && UNCOUNTED_REASONS.has(reasons.at(waitreason) ?? '');
}

/** True for releases whose gs show whether they ran: 1.17 and newer. */
export function countsRuns(layouts: Layouts): boolean {
  return layouts.of('g').has('trackingSeq');
}

const GWAITING = GOROUTINE_STATUSES.indexOf('waiting');
/** Above every status. A constant of this file: V8 does not fold an imported one into the code of the stop. */
const STATUS_LIMIT = GSCAN;
const REASONS = 256;
/** Words that are remembered of each goroutine: half a cache line. The state comes first, then the fingerprint. */
const WORDS = 8;
/** The last two are the address of its label set, which is not compared. */
const LABELS = 6;

/**
 * The rule for all goroutines of a program at once, in a buffer of records. Made for the stop: checking a goroutine takes
 * some tens of nanoseconds and allocates nothing. Stricter than the rule for views: only what waits can stay.
 */
export class ParkedWords {
  /** Offsets in a g of the 32-bit words that are compared beside the state, ascending. */
  readonly fingerprint: Int32Array;
  readonly #m: number;
  readonly #atomicstatus: number;
  readonly #waitreason: number;
  readonly #trackingSeq: number | null;
  readonly #labels: number;
  readonly #waiting: number;
  /** Of each goroutine, where it was when the plan last had all that it waits for and its labels; 0 if it never had. */
  readonly #covered: Int32Array;
  /** The label set that it had then. */
  readonly #coveredLabels: Float64Array;
  readonly #sizeBytes: number;
  readonly #isDead = Uint8Array.from(GOROUTINE_STATUSES, (status) => (status === 'dead' ? 1 : 0));
  readonly #isUncounted = new Uint8Array(REASONS);
  /** Of each goroutine by index: the state, then the words of the fingerprint. */
  readonly #remembered: Uint32Array;
  #offsets: Float64Array = new Float64Array(0);

  /** `count` is the number of goroutines. */
  constructor(layouts: Layouts, reasons: Pick<WaitReasons, 'at'>, count: number) {
    const g = layouts.of('g');
    const gobuf = layouts.of('gobuf');
    const words = FIELDS.flatMap(({ inStop }) => (typeof inStop === 'function' ? [inStop(g, gobuf)] : []));
    // Ascending: reading each g from front to back takes two thirds of the time of another order.
    this.fingerprint = Int32Array.from(words).sort();
    if (this.fingerprint.length !== 4) throw new RangeError('the fingerprint of a goroutine has four words');
    this.#m = g.offset('m');
    this.#atomicstatus = g.offset('atomicstatus');
    this.#waitreason = g.offset('waitreason');
    this.#trackingSeq = g.optional('trackingSeq');
    this.#labels = g.offset('labels');
    this.#waiting = g.offset('waiting');
    this.#covered = new Int32Array(count);
    this.#coveredLabels = new Float64Array(count);
    this.#sizeBytes = g.sizeBytes;
    for (let reason = 0; reason < REASONS; reason++) {
      if (UNCOUNTED_REASONS.has(reasons.at(reason) ?? '')) this.#isUncounted[reason] = 1;
    }
    this.#remembered = new Uint32Array(WORDS * count);
  }

  /** Sets the offset of each goroutine's g in a buffer of records; -1 for one that is not there. */
  bind(offsets: Float64Array): void {
    this.#offsets = offsets;
  }

  /**
   * True if the goroutine at an index was at {@link setCovered} where these records have it: parked, in the same wait, with the
   * same labels. Not for the stop.
   */
  isCovered(index: number, records: DataView): boolean {
    return this.#covered[index] === this.#hash(records, this.#offsets[index] ?? 0);
  }

  /** Notes that the plan has all of the goroutine at an index, where these records have it. */
  setCovered(index: number, records: DataView): void {
    const g = this.#offsets[index] ?? 0;
    this.#covered[index] = this.#hash(records, g);
    this.#coveredLabels[index] = wordAt(records, g + this.#labels);
  }

  /** The label set of the goroutine at an index that the plan has all of, since such a set never changes; 0 if none is known. */
  coveredLabels(index: number): number {
    return this.#coveredLabels[index] ?? 0;
  }

  /**
   * Where each goroutine that waits is by these records, and how often it ran, in one word; 0 for the others. If a word is the same
   * later, the goroutine has stayed there, but for one time in 2^32.
   */
  whereabouts(records: DataView): Int32Array {
    return Int32Array.from(this.#offsets, (g) => (g >= 0 && this.#isWaiting(records, g) ? this.#hash(records, g) : 0));
  }

  #isWaiting(records: DataView, g: number): boolean {
    return (records.getUint32(g + this.#atomicstatus, true) & (STATUS_LIMIT - 1)) === GWAITING;
  }

  /** Where a goroutine is, in one word that is never 0. */
  #hash(records: DataView, g: number): number {
    const fingerprint = this.fingerprint;
    let hash = mix(this.#state(records, g), records.getUint32(g + this.#waiting, true));
    hash = mix(hash, records.getUint32(g + this.#labels, true));
    for (let w = 0; w < fingerprint.length; w++) {
      hash = mix(hash, records.getUint32(g + (fingerprint[w] ?? 0), true));
    }
    return hash === 0 ? 1 : hash;
  }

  /** Remembers of the records what {@link mark} compares others with. */
  remember(records: DataView): void {
    const offsets = this.#offsets;
    const fingerprint = this.fingerprint;
    const remembered = this.#remembered;
    for (let i = 0; i < offsets.length; i++) {
      const g = offsets[i] ?? -1;
      if (g < 0) continue;
      const at = WORDS * i;
      remembered[at] = this.#state(records, g);
      for (let w = 0; w < fingerprint.length; w++) {
        remembered[at + 1 + w] = records.getUint32(g + (fingerprint[w] ?? 0), true);
      }
      remembered[at + LABELS] = records.getUint32(g + this.#labels, true);
      remembered[at + LABELS + 1] = records.getUint32(g + this.#labels + 4, true);
    }
  }

  /** The label set that the goroutine at an index had at {@link remember}. */
  labelsBefore(index: number): number {
    const at = WORDS * index + LABELS;
    return (this.#remembered[at] ?? 0) + (this.#remembered[at + 1] ?? 0) * 2 ** 32;
  }

  /**
   * Marks in `moved` (1 by index) the goroutines that may have moved since {@link remember}: those that neither stayed dead
   * nor stayed parked, from the index `first` on, up to the first whose g ends after the offset `end` of the records. Returns
   * the index of that one. `records` begin at the offset `from` of all. Calls `onMoved` with each of these that is marked, also
   * from before, and where its g is in `records`.
   */
  mark(
    records: DataView,
    moved: Uint8Array,
    first: number,
    end: number,
    from = 0,
    onMoved: ((index: number, g: number) => void) | null = null,
  ): number {
    const offsets = this.#offsets;
    const size = this.#sizeBytes;
    const remembered = this.#remembered;
    const isUncounted = this.#isUncounted;
    const atomicstatus = this.#atomicstatus;
    const waitreason = this.#waitreason;
    const seq = this.#trackingSeq ?? waitreason;
    const [a = 0, b = 0, c = 0, d = 0] = this.fingerprint;
    let i = first;
    for (; i < offsets.length; i++) {
      const g = (offsets[i] ?? -1) - from;
      if (g + size > end) break;
      if (g < 0) continue;
      if (moved[i] === 0) {
        // What nearly all do, they stay parked, in one go: half as long as with calls and a loop over the fingerprint.
        const at = WORDS * i;
        const status = records.getUint32(g + atomicstatus, true) & (STATUS_LIMIT - 1);
        const reason = records.getUint8(g + waitreason);
        if (status !== GWAITING) {
          if (this.#isDead[status] === 1 && ((remembered[at] ?? 0) & (STATUS_LIMIT - 1)) === status) continue;
        } else if (
          isUncounted[reason] !== 1 &&
          remembered[at] === stateOf(status, reason, records.getUint8(g + seq)) &&
          remembered[at + 1] === records.getUint32(g + a, true) &&
          remembered[at + 2] === records.getUint32(g + b, true) &&
          remembered[at + 3] === records.getUint32(g + c, true) &&
          remembered[at + 4] === records.getUint32(g + d, true)
        ) {
          continue;
        }
        moved[i] = 1;
      }
      onMoved?.(i, g);
    }
    return i;
  }

  /**
   * Marks in `moved` the goroutines that a thread has, of those with an index from `first` up to `end`. `records` begin at the
   * offset `from` of all. Not for the stop, which reads the goroutine of every M again in any case.
   */
  markOnThreads(records: DataView, moved: Uint8Array, first = 0, end = moved.length, from = 0): void {
    const m = this.#m;
    for (let i = first; i < end; i++) {
      const g = (this.#offsets[i] ?? -1) - from;
      if (g >= 0 && moved[i] === 0 && wordAt(records, g + m) !== 0 && !this.isDead(records, g)) moved[i] = 1;
    }
  }

  isDead(records: DataView, g: number): boolean {
    return this.#isDead[records.getUint32(g + this.#atomicstatus, true) & (STATUS_LIMIT - 1)] === 1;
  }

  /** Status without the scan bit, wait reason and trackingSeq in one number below 2^28. */
  #state(records: DataView, g: number): number {
    const seq = records.getUint8(g + (this.#trackingSeq ?? this.#waitreason));
    return stateOf(records.getUint32(g + this.#atomicstatus, true), records.getUint8(g + this.#waitreason), seq);
  }
}

/** `trackingSeq` is another byte of the g where nothing is counted. */
function stateOf(status: number, reason: number, trackingSeq: number): number {
  return (status & (STATUS_LIMIT - 1)) | (reason << 12) | (trackingSeq << 20);
}

/** One word of two, as in FNV-1a: if one of them differs, so does the result, but for one time in 2^32. */
function mix(hash: number, word: number): number {
  return Math.imul(hash ^ word, 0x01000193);
}
