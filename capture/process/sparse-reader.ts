import type { Runs } from '../../snapshots/runs.js';
import { Pinned } from '../libc.js';
import type { MemoryPort } from './memory-port.js';
import { IOV_MAX, IOVEC_SIZE, MAX_CALL_BYTES } from './run-reader.js';

/** Room that is made ready for what is read in a stop, in bytes, unless all runs together need less. */
const LEAST_ROOM = 16 << 20;
/** What is read again may grow by this factor until the next time without memory that was never touched. */
const GROWTH = 2;

/** Where the bytes of a run are. */
export interface Place {
  readonly view: DataView;
  readonly offset: number;
}

/**
 * Reads some of many runs of a process, each behind the other into memory of its own: what is never read takes no room.
 * Room for what may be read in a stop is touched before: memory that never was costs a page fault for every 4 kB.
 */
export class SparseReader {
  readonly #port: MemoryPort;
  readonly #runs: Runs;
  readonly #list = new CallLists();
  #room: Pinned;
  /** Room that was full; the runs in it stay where they are. */
  readonly #full: Pinned[] = [];
  #used = 0;
  /** By run: the room that it is in, counted from 1, and the offset in it; 0 if it was not read. */
  readonly #roomOf: Uint8Array;
  readonly #offset: Float64Array;
  #placedBytes = 0;

  constructor(port: MemoryPort, runs: Runs) {
    this.#port = port;
    this.#runs = runs;
    this.#room = touched(Math.min(runs.sizeBytes, LEAST_ROOM));
    this.#roomOf = new Uint8Array(runs.length);
    this.#offset = new Float64Array(runs.length);
  }

  /** Bytes of the runs that were read since {@link forget}. */
  get sizeBytes(): number {
    return this.#placedBytes;
  }

  /** Where a run was read to; null if it was not read since {@link forget}. */
  placeOf(run: number): Place | null {
    const room = this.#roomOf[run] ?? 0;
    if (room === 0) return null;
    return { view: this.#roomAt(room).view, offset: this.#offset[run] ?? 0 };
  }

  /** Forgets what was read, and makes room for as much and more of it. Not for the stop. */
  forget(): void {
    const wanted = Math.min(this.#runs.sizeBytes, GROWTH * this.#placedBytes);
    if (this.#full.length > 0 || wanted > this.#room.bytes.length) {
      this.#full.length = 0;
      this.#room = touched(Math.max(wanted, this.#room.bytes.length));
    }
    this.#roomOf.fill(0);
    this.#used = 0;
    this.#placedBytes = 0;
  }

  /**
   * Reads the runs that are marked by a 1, in place of what was read of them before. After `deadline` (of performance.now())
   * it reads no further. Returns the indices of those that could not be read whole.
   */
  read(marked: Uint8Array, deadline = Infinity): readonly number[] {
    const failed: number[] = [];
    this.#makeRoom(marked);
    for (let first = marked.indexOf(1); first >= 0 && performance.now() < deadline;) {
      const last = this.#list.fill(this.#runs, marked, first, (run) => this.#place(run));
      this.#readListed(failed);
      first = last;
    }
    return failed;
  }

  /** In a stop, more than there is room for is rare, and then the price is paid. */
  #makeRoom(marked: Uint8Array): void {
    let needed = 0;
    for (let run = marked.indexOf(1); run >= 0; run = marked.indexOf(1, run + 1)) {
      if (this.#roomOf[run] === 0) needed += this.#runs.lengthOf(run);
    }
    if (this.#used + needed <= this.#room.bytes.length) return;
    this.#full.push(this.#room);
    this.#room = new Pinned(needed);
    this.#used = 0;
  }

  /** The address in gospy that a run is read to. */
  #place(run: number): number {
    if (this.#roomOf[run] === 0) {
      this.#roomOf[run] = this.#full.length + 1;
      this.#offset[run] = this.#used;
      this.#used += this.#runs.lengthOf(run);
      this.#placedBytes += this.#runs.lengthOf(run);
    }
    return this.#roomAt(this.#roomOf[run] ?? 0).address + (this.#offset[run] ?? 0);
  }

  #roomAt(room: number): Pinned {
    return this.#full[room - 1] ?? this.#room;
  }

  #readListed(failed: number[]): void {
    const list = this.#list;
    if (this.#port.method === '/proc/PID/mem') {
      for (let i = 0; i < list.count; i++) this.#readRun(list.run(i), failed);
      return;
    }
    for (let i = 0; i < list.count;) {
      const [at, count] = [IOVEC_SIZE * i, list.count - i];
      let left = this.#port.readVector(list.local.address + at, count, list.remote.address + at, count);
      for (; i < list.count; i++) {
        const length = this.#runs.lengthOf(list.run(i));
        if (left < length) break;
        left -= length;
      }
      if (i < list.count) failed.push(list.run(i++));
    }
  }

  #readRun(run: number, failed: number[]): void {
    const { lo, hi } = this.#runs.at(run);
    const { bytes } = this.#roomAt(this.#roomOf[run] ?? 0);
    if (this.#port.readFile(lo, bytes, this.#offset[run] ?? 0, hi - lo) !== hi - lo) failed.push(run);
  }
}

/** Memory of which every page was written to. */
function touched(sizeBytes: number): Pinned {
  const room = new Pinned(sizeBytes);
  room.bytes.fill(0);
  return room;
}

/** The lists of iovecs for one system call that reads some of the runs. */
class CallLists {
  readonly local = new Pinned(IOVEC_SIZE * IOV_MAX);
  readonly remote = new Pinned(IOVEC_SIZE * IOV_MAX);
  readonly #runs = new Int32Array(IOV_MAX);
  count = 0;

  run(i: number): number {
    return this.#runs[i] ?? 0;
  }

  /**
   * Lists marked runs from `first` on, as many as one call takes, each to be read to where `placeOf` says. Returns the first
   * one left over, or -1.
   */
  fill(runs: Runs, marked: Uint8Array, first: number, placeOf: (run: number) => number): number {
    let sizeBytes = 0;
    let run = first;
    this.count = 0;
    while (run >= 0 && this.count < IOV_MAX) {
      const length = runs.lengthOf(run);
      if (this.count > 0 && sizeBytes + length > MAX_CALL_BYTES) break;
      sizeBytes += length;
      const at = IOVEC_SIZE * this.count;
      this.local.setWord(at, placeOf(run));
      this.local.setWord(at + 8, length);
      this.remote.setWord(at, runs.startOf(run));
      this.remote.setWord(at + 8, length);
      this.#runs[this.count++] = run;
      run = marked.indexOf(1, run + 1);
    }
    return run;
  }
}
