import { plus, type Addr } from '../../snapshots/address.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory, type MemorySource, type Range } from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';
import type { Work } from '../../snapshots/work.js';
import { GoProgram } from '../../analyze/program.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { readGoroutine } from '../../analyze/runtime/memory-ranges.js';
import { hasRun, isSamePlace } from '../../analyze/runtime/parked.js';
import { stackToRead } from '../../analyze/runtime/stack-plan.js';
import type { Unwound } from '../../analyze/stacks/unwind.js';
import { workAtPresent, type SurveyedWork } from '../../analyze/work/survey.js';
import type { LiveProcess } from '../process/live-process.js';
import { MAX_GAP } from './plan.js';
import { RunSource } from './run-source.js';

/** Goroutines of which it is found out in one go what they work on: each time, the program's types are read. */
const WORK_BATCH = 16_384;
/** Goroutines whose stacks are read in one go, and the bytes that these may have together. */
const BATCH = 1024;
const BATCH_BYTES = 16 << 20;

const MOVED: Unwound = { frames: [], truncated: 'it moved on since, or while its stack was read', untold: true };

/** A program that goes on running. Its stacks are read when they are asked for, and checked. */
export class SampledProgram extends GoProgram {
  readonly #target: LiveProcess;
  /** Addresses of goroutines, by id. */
  #order: Float64Array | null = null;
  #next = 0;
  /** The goroutines of the last batch that stayed parked while their stacks were read, by address. */
  #batch = new Map<number, G>();
  /** The program over the memory of that batch. */
  #batchProgram: GoProgram | null = null;

  /** What those goroutines work on of which that was asked last, by address; null for those of which nothing is known. */
  #work = new Map<number, SurveyedWork | null>();

  /** `image` is that of this look; the rest is known from `program`. */
  constructor({ found, index }: GoProgram, image: ProcessImage, target: LiveProcess) {
    super(image, found, index);
    this.#target = target;
  }

  /** Always by id: the order in which stacks are read in one go. */
  override goroutineRows(): Iterable<number> {
    this.#next = 0;
    return super.goroutineRows('goid');
  }

  /** Only {@link followStack} checks what it reads. */
  override pcsOfWhole(): number {
    return 0;
  }

  /** Found out at present: of a goroutine that was another one by then, nothing is known. */
  override workOf({ addr, goid }: G): readonly Work[] {
    if (!this.#work.has(addr)) {
      const which = this.#batchFrom(addr, WORK_BATCH, Infinity);
      this.#work = new Map(Array.from(which, (g) => [g, null]));
      const now = (): GoProgram => this.over({ memory: this.#target.memory() });
      for (const found of workAtPresent(now, which)) this.#work.set(found.g.addr, found);
    }
    const found = this.#work.get(addr) ?? null;
    return found?.g.goid === goid ? found.work : [];
  }

  protected override followStack(g: G, limit?: number): Unwound {
    if (!this.#batch.has(g.addr)) this.#readBatch(g.addr);
    const parked = this.#batch.get(g.addr);
    if (parked === undefined || this.#batchProgram === null || !isSamePlace(g, parked)) return MOVED;
    return this.#batchProgram.stackOf(parked, limit);
  }

  /** Reads the stacks of the goroutine at `first` and of those after it, and keeps those whose goroutine stayed parked. */
  #readBatch(first: Addr): void {
    const wanted = this.#batchFrom(first, BATCH, BATCH_BYTES);
    const gSize = this.goroutineReader.sizeBytes;
    const records = new Runs(
      Array.from(wanted, (g) => ({ lo: g as Addr, hi: plus(g as Addr, gSize) })),
      MAX_GAP,
    );
    const reader = this.#target.reader(records);
    const failed = reader.read();
    const before = this.#over([new RunSource(records, reader.bytes.slice(), failed)]);
    const gs = Array.from(wanted).flatMap((g) => readGoroutine(before, g as Addr) ?? []);
    const stacks = this.#readStacks(gs);
    // A g does not always show whether its goroutine ran: see parked.ts. A second look at the stack does.
    const again = this.#readStacks(gs);
    const after = this.#over([new RunSource(records, reader.bytes, reader.read()), stacks]);
    this.#batchProgram = after;
    this.#batch = new Map();
    for (const was of gs) {
      const is = readGoroutine(after, was.addr);
      if (is === null || !isSamePlace(was, is) || hasRun(was, is) || !isSameStack(is, stacks, again)) continue;
      this.#batch.set(is.addr, is);
    }
  }

  #readStacks(gs: readonly G[]): RunSource {
    const runs = new Runs(
      gs.flatMap((g) => stackToRead(g) ?? []),
      MAX_GAP,
    );
    const reader = this.#target.reader(runs);
    const failed = reader.read();
    return new RunSource(runs, reader.bytes, failed);
  }

  /** Addresses of goroutines in the order in which they are listed, from one on, as many as fit. */
  #batchFrom(first: Addr, most: number, mostBytes: number): Float64Array {
    const { byGoid, addr } = this.goroutineColumns;
    const order = (this.#order ??= Float64Array.from(byGoid, (row) => addr[row] ?? 0));
    let at = order.indexOf(first, this.#next);
    if (at < 0) at = order.indexOf(first);
    if (at < 0) return Float64Array.of(first);
    let bytes = 0;
    let end = at;
    while (end < order.length && end - at < most && (end === at || bytes < mostBytes)) {
      const g = readGoroutine(this, (order[end++] ?? 0) as Addr);
      const range = g === null ? null : stackToRead(g);
      if (range !== null) bytes += range.hi - range.lo;
    }
    this.#next = end;
    return order.slice(at, end);
  }

  #over(layers: readonly MemorySource[]): GoProgram {
    return this.over({ memory: new Memory(new LayeredSource([...layers, this.#mappedFiles()])) });
  }

  /** Memory without stacks: a stack that is not in a layer above is absent, and not read too late. */
  #mappedFiles(): MemorySource {
    const { mappings, memory } = this.image;
    const files = mappings.filter(({ path }) => path !== '' && !path.startsWith('['));
    return new ClippedSource(
      files.map(({ start, end }) => ({ lo: start, hi: end })),
      memory.source,
    );
  }
}

/** The part of a source that is in some ranges. */
class ClippedSource implements MemorySource {
  readonly #ranges: readonly Range[];
  readonly #source: MemorySource;

  constructor(ranges: readonly Range[], source: MemorySource) {
    this.#ranges = ranges;
    this.#source = source;
  }

  window(addr: number): ReturnType<MemorySource['window']> {
    return this.#ranges.some(({ lo, hi }) => addr >= lo && addr < hi) ? this.#source.window(addr) : null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (const range of this.#ranges) {
      if (range.lo < hi && range.hi > lo) {
        yield { lo: Math.max(range.lo, lo) as Addr, hi: Math.min(range.hi, hi) as Addr };
      }
    }
  }
}

/** True if two readings of a goroutine's stack are the same to the byte. */
function isSameStack(g: G, one: RunSource, other: RunSource): boolean {
  const range = stackToRead(g);
  if (range === null) return false;
  const [a, b] = [one.bytes(range.lo, range.hi), other.bytes(range.lo, range.hi)];
  return a !== null && b !== null && Buffer.compare(a, b) === 0;
}
