import { plus, type Addr } from '../../snapshots/address.js';
import type { CaptureFacts, ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory, type MemorySource, type Range } from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';
import { GoProgram, openProgram } from '../../analyze/program.js';
import { readable, runtimeRanges } from '../../analyze/runtime/memory-ranges.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { stackToRead, UNTRACKED_REASONS } from '../../analyze/runtime/stack-plan.js';
import type { Unwound } from '../../analyze/stacks/unwind.js';
import { RunSource } from './copy.js';
import { LiveProcess } from '../process/live-process.js';
import type { RunReader } from '../process/run-reader.js';

/** Neighbours this close are read as one run, as in a capture. */
const MAX_GAP = 512;
/** New goroutines that are read one by one, until all are planned anew: a share of all, and some. */
const UNPLANNED_SHARE = 0.05;
const UNPLANNED = 256;
/** Stacks that are read in one go, and the bytes that they may have together. */
const BATCH = 1024;
const BATCH_BYTES = 16 << 20;

/**
 * Looks at a running process again and again without stopping it. What does not change is worked out once: the code, the
 * globals, and where the goroutines lie. A look reads the records of the runtime; stacks are read when they are asked
 * for, and only those count during whose reading the goroutine stayed where it was.
 */
export class Sampler {
  readonly #target: LiveProcess;
  readonly #program: GoProgram;
  #records: { readonly runs: Runs; readonly reader: RunReader; readonly count: number } | null = null;

  /** Throws GospyError where there is no such process, it may not be read, or is no Go program. */
  constructor(pid: number, inspect?: (program: GoProgram) => void) {
    this.#target = new LiveProcess(pid, 'read');
    try {
      this.#program = openProgram(this.#target.image());
      inspect?.(this.#program);
    } catch (error) {
      this.#target.close();
      throw error;
    }
  }

  /** The process as it is now. What an earlier look answered is no longer good. Throws `noGoProcess` where it has ended. */
  look(): GoProgram {
    const capture: CaptureFacts = {
      ...this.#program.image.capture,
      capturedAt: new Date().toISOString(),
      monotonicNs: process.hrtime.bigint(),
      pauseNs: 0,
    };
    try {
      const mappings = this.#target.currentMappings();
      return this.#read({ ...this.#program.image, threads: this.#target.threads(), mappings, capture });
    } catch (error) {
      this.#target.assertUnchanged(error);
      throw error;
    }
  }

  close(): void {
    this.#target.close();
  }

  #read(image: ProcessImage): GoProgram {
    const planned = this.#records;
    if (planned !== null) {
      const failed = planned.reader.read();
      if (failed.length > 0) this.#target.assertUnchanged(undefined);
      const program = this.#over(image, planned.runs, planned.reader, failed);
      const { length } = program.goroutineReader.addresses(program.globals.allgs);
      if (length - planned.count <= UNPLANNED + UNPLANNED_SHARE * planned.count) return program;
    }
    this.#plan(image);
    return this.#read(image);
  }

  /** Finds out where the records lie: goroutines that end are used again, so that hardly any are new. */
  #plan(image: ProcessImage): void {
    this.#records = null;
    const program = this.#program.over({ ...image, memory: this.#target.memory(image.mappings) });
    const goroutines = program.goroutineReader.addresses(program.globals.allgs);
    const runs = new Runs(runtimeRanges(program, goroutines), MAX_GAP);
    this.#records = { runs, reader: this.#target.reader(runs), count: goroutines.length };
  }

  /** What was planned lies in a buffer; all else is read from the process when it is asked for. */
  #over(image: ProcessImage, runs: Runs, reader: RunReader, failed: readonly number[]): GoProgram {
    const records = sourceOf(runs, reader.bytes, failed);
    const memory = new Memory(new LayeredSource([records, this.#target.memory(image.mappings).source]));
    return new SampledProgram(this.#program, { ...image, memory }, this.#target);
  }
}

/** A program that runs on: its stacks are read, and checked, when they are asked for. */
class SampledProgram extends GoProgram {
  readonly #target: LiveProcess;
  #order: Float64Array | null = null;
  #next = 0;
  #batch = new Map<number, G>();
  #still: GoProgram | null = null;

  constructor({ found, index }: GoProgram, image: ProcessImage, target: LiveProcess) {
    super(image, found, index);
    this.#target = target;
  }

  override goroutineAddresses(): Float64Array {
    this.#next = 0;
    return (this.#order ??= super.goroutineAddresses());
  }

  override stackOf(g: G, limit?: number): Unwound {
    if (!this.#batch.has(g.addr)) this.#readBatch(g.addr);
    const still = this.#batch.get(g.addr);
    if (still === undefined || this.#still === null || !samePlace(g, still)) return MOVED;
    return this.#still.stackOf(still, limit);
  }

  /** Reads the stacks of the goroutine at `first` and of those that come behind it, and keeps those that stayed there. */
  #readBatch(first: Addr): void {
    const wanted = this.#from(first);
    const records = new Runs(
      [...wanted].map((g) => ({ lo: g as Addr, hi: plus(g as Addr, this.goroutineReader.sizeBytes) })),
      MAX_GAP,
    );
    const reader = this.#target.reader(records);
    const ticks = this.#ticks();
    const failed = reader.read();
    const before = this.#with([sourceOf(records, reader.bytes.slice(), failed)]);
    const gs = [...wanted].flatMap((g) => readable(before, g as Addr) ?? []);
    const stacks = new Runs(gs.flatMap(plannedFor), MAX_GAP);
    const stackReader = this.#target.reader(stacks);
    const absent = stackReader.read();
    const once = gs.some((g) => this.#isUntracked(g)) ? stackReader.bytes.slice() : null;
    if (once !== null) stackReader.read();
    const failedAgain = reader.read();
    const untold = ticks !== null && ticks !== this.#ticks();
    this.#still = this.#with([
      sourceOf(records, reader.bytes, failedAgain),
      sourceOf(stacks, stackReader.bytes, absent),
    ]);
    this.#batch = new Map();
    for (const was of untold ? [] : gs) {
      const is = readable(this.#still, was.addr);
      if (is === null || !this.#stayed(before, was, this.#still, is)) continue;
      if (this.#isUntracked(is) && !isSame(stacks, once, stackReader.bytes, is)) continue;
      this.#batch.set(is.addr, is);
    }
  }

  /**
   * True where a goroutine did not run between two readings: g.trackingSeq goes up each time it leaves running
   * (casgstatus in proc.go, 1.17+).
   */
  #stayed(before: GoProgram, was: G, after: GoProgram, is: G): boolean {
    if (is.status === 'running' || !samePlace(was, is) || was.stack.lo !== is.stack.lo) return false;
    const seq = this.layouts.of('g').optional('trackingSeq');
    return seq === null || before.memory.u8(was.addr, seq) === after.memory.u8(is.addr, seq);
  }

  /** Coroutines switch, and preempted goroutines are parked, without being counted. */
  #isUntracked({ status, waitreason }: G): boolean {
    return status === 'waiting' && UNTRACKED_REASONS.has(this.waitReasons.at(waitreason) ?? '');
  }

  /** What every P has scheduled so far; null where each goroutine tells by itself whether it ran. */
  #ticks(): string | null {
    if (this.layouts.of('g').has('trackingSeq')) return null;
    const { processors } = this.over({ memory: this.#target.memory(this.image.mappings) });
    return processors.map(({ schedtick }) => schedtick).join();
  }

  /** Goroutines as they are gone through, from one on, as many as are read in one go. */
  #from(first: Addr): Float64Array {
    const order = (this.#order ??= super.goroutineAddresses());
    let at = order.indexOf(first, this.#next);
    if (at < 0) at = order.indexOf(first);
    if (at < 0) return Float64Array.of(first);
    let bytes = 0;
    let end = at;
    while (end < order.length && end - at < BATCH && (end === at || bytes < BATCH_BYTES)) {
      const g = readable(this, (order[end++] ?? 0) as Addr);
      const range = g === null ? null : stackToRead(g);
      if (range !== null) bytes += range.hi - range.lo;
    }
    this.#next = end;
    return order.slice(at, end);
  }

  #with(layers: readonly MemorySource[]): GoProgram {
    return this.over({ memory: new Memory(new LayeredSource([...layers, this.#constant()])) });
  }

  /** Memory in which no stack lies: a stack that was not read is absent, not read late. */
  #constant(): MemorySource {
    const { mappings, memory } = this.image;
    const constant = mappings.filter(({ path }) => path !== '' && !path.startsWith('['));
    return new MappedSource(
      constant.map(({ start, end }) => ({ lo: start, hi: end })),
      memory.source,
    );
  }
}

const MOVED: Unwound = { frames: [], truncated: 'it moved on since, or while its stack was read' };

/** True where two readings of a goroutine show it parked in the same place. */
function samePlace(a: G, b: G): boolean {
  return (
    a.goid === b.goid &&
    a.status === b.status &&
    a.sched.sp === b.sched.sp &&
    a.sched.pc === b.sched.pc &&
    a.syscallsp === b.syscallsp &&
    a.syscallpc === b.syscallpc
  );
}

/** The part of a source that lies in some ranges. */
class MappedSource implements MemorySource {
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

function plannedFor(g: G | null): Range[] {
  const range = g === null ? null : stackToRead(g);
  return range === null ? [] : [range];
}

/** True where two readings of a goroutine's stack are the same to the byte. */
function isSame(stacks: Runs, once: Uint8Array | null, again: Uint8Array, g: G): boolean {
  const [range] = plannedFor(g);
  const offset = range === undefined ? -1 : stacks.offsetOf(range.lo, range.hi - range.lo);
  if (once === null || range === undefined || offset < 0) return false;
  const end = offset + range.hi - range.lo;
  return Buffer.compare(once.subarray(offset, end), again.subarray(offset, end)) === 0;
}

function sourceOf(runs: Runs, bytes: Uint8Array, failed: readonly number[]): RunSource {
  const source = new RunSource(runs, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  source.failed = failed;
  return source;
}
