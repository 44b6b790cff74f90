import type { Runs } from '../../snapshots/runs.js';
import { Pinned } from '../libc.js';
import type { MemoryPort } from './memory-port.js';
import type { Slab } from './slab.js';

export const IOVEC_SIZE = 16;
/** Elements that the kernel takes at most in a call. */
export const IOV_MAX = 1024;
/**
 * Takes some tenths of a millisecond, so that a deadline can be kept between two calls; and what was read is still in the
 * CPU's cache when it is looked at. The kernel takes up to 2^31.
 */
export const MAX_CALL_BYTES = 2 ** 20;

/** The runs that one system call reads, from index `first` up to `end`, into the buffer at `offset`. */
interface Call {
  readonly first: number;
  readonly end: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * Reads runs of a process into one buffer, again and again. Everything that can be prepared is, so that {@link read} in the
 * middle of a stop makes just the system calls.
 */
export class RunReader {
  readonly #port: MemoryPort;
  readonly #runs: Runs;
  readonly #buffer: Pinned;
  readonly #local: Pinned;
  readonly #remote: Pinned;
  readonly #calls: readonly Call[];
  #end = 0;

  /** With a slab, the memory is taken from there, and lasts as long as its parts do. */
  constructor(port: MemoryPort, runs: Runs, slab?: Slab) {
    const take = (sizeBytes: number): Pinned => slab?.take(sizeBytes) ?? new Pinned(sizeBytes);
    this.#port = port;
    this.#runs = runs;
    this.#buffer = take(runs.sizeBytes);
    this.#local = take(IOVEC_SIZE);
    this.#remote = take(IOVEC_SIZE * runs.length);
    for (let i = 0; i < runs.length; i++) {
      this.#remote.setWord(IOVEC_SIZE * i, runs.startOf(i));
      this.#remote.setWord(IOVEC_SIZE * i + 8, runs.lengthOf(i));
    }
    this.#calls = planCalls(runs);
  }

  /** Index of the first run that the last {@link read} did not get to. */
  get end(): number {
    return this.#end;
  }

  /** The runs one after another, at the offsets of {@link Runs.at}. The next read overwrites them. */
  get bytes(): Uint8Array {
    return this.#buffer.bytes;
  }

  /**
   * Reads every run. Returns the indices of those that could not be read whole. After `deadline` (of performance.now()) it
   * reads no further: {@link end} shows how far it got. Calls `onRead` after each system call with the offset up to which the
   * buffer is filled.
   */
  read(deadline = Infinity, onRead?: (end: number) => void): readonly number[] {
    const failed: number[] = [];
    this.#end = this.#runs.length;
    for (const call of this.#calls) {
      if (performance.now() >= deadline) {
        this.#end = call.first;
        break;
      }
      if (this.#port.method === '/proc/PID/mem') {
        for (let i = call.first; i < call.end; i++) this.#readRun(i, failed);
      } else if (this.#readVector(call.first, call.end, call.offset, call.sizeBytes) !== call.sizeBytes) {
        this.#readPiecemeal(call, failed);
      }
      onRead?.(call.offset + call.sizeBytes);
    }
    return failed;
  }

  #readVector(first: number, end: number, offset: number, sizeBytes: number): number {
    this.#local.setWord(0, this.#buffer.address + offset);
    this.#local.setWord(8, sizeBytes);
    return this.#port.readVector(this.#local.address, 1, this.#remote.address + IOVEC_SIZE * first, end - first);
  }

  /** Reads the runs of a call that came back short: the kernel ends at each run that is not all there, which is skipped. */
  #readPiecemeal({ first, end, offset, sizeBytes }: Call, failed: number[]): void {
    for (let i = first; i < end;) {
      const place = this.#runs.placeOf(i);
      let left = this.#readVector(i, end, place, offset + sizeBytes - place);
      for (; i < end; i++) {
        const length = this.#runs.lengthOf(i);
        if (left < length) break;
        left -= length;
      }
      if (i < end) failed.push(i++);
    }
  }

  #readRun(run: number, failed: number[]): void {
    const { lo, hi, offset } = this.#runs.at(run);
    if (this.#port.readFile(lo, this.#buffer.bytes, offset, hi - lo) !== hi - lo) failed.push(run);
  }
}

/** Divides runs into system calls. */
function planCalls(runs: Runs): Call[] {
  const calls: Call[] = [];
  for (let first = 0; first < runs.length;) {
    let end = first;
    let sizeBytes = 0;
    for (; end < runs.length && end - first < IOV_MAX; end++) {
      const length = runs.lengthOf(end);
      if (end > first && sizeBytes + length > MAX_CALL_BYTES) break;
      sizeBytes += length;
    }
    calls.push({ first, end, offset: runs.placeOf(first), sizeBytes });
    first = end;
  }
  return calls;
}
