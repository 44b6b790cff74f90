import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import type { SectionEntry } from './format.js';

/** The states of a section in {@link Shared}. */
export const SectionState = {
  free: 0,
  /** The thread reads it. */
  taken: 1,
  /** The thread has sent it, or could not read it. */
  sent: 2,
  /** The caller reads it itself. */
  own: 3,
} as const;

/** What the thread is told. Errors of sections are found again by whoever reads them in its place. */
export interface ReadAheadTask {
  readonly path: string;
  readonly fd: number;
  readonly sections: readonly SectionEntry[];
  /** The place in the list up to which the caller has come; then the state of each section. */
  readonly shared: Int32Array;
  readonly port: MessagePort;
}

/** What the thread sends of a section; null where it cannot be read. */
export interface SectionRead {
  readonly place: number;
  readonly bytes: Uint8Array | null;
}

/** Sections that the thread is ahead at most: this bounds the memory that they take. */
export const MOST_AHEAD = 16;
/** A thread that does not send a section in this time is given up: the caller reads without it. */
const PATIENCE_MS = 10_000;

/**
 * A thread that reads, verifies and uncompresses sections in the order in which a synchronous reader will need them, so
 * that both CPUs of a small machine have work. The reader takes what is ready, and reads itself what the thread has not
 * begun with: it never waits for more than the one section that the thread is at.
 */
export class ReadAhead {
  readonly #shared: Int32Array;
  /** Places in the list by number of the section. */
  readonly #places: ReadonlyMap<number, number>;
  readonly #arrived = new Map<number, Uint8Array | null>();
  readonly #port: MessagePort;
  readonly #worker: Worker;
  #isGivenUp = false;

  /** `numbers` says which sections those of the list are. */
  constructor(path: string, fd: number, sections: readonly SectionEntry[], numbers: readonly number[]) {
    this.#shared = new Int32Array(new SharedArrayBuffer(4 * (1 + sections.length)));
    this.#places = new Map(numbers.map((number, place) => [number, place]));
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const task: ReadAheadTask = {
      ...{ path, fd, shared: this.#shared, port: port2 },
      sections: sections.map((section) => ({ ...section, ranges: null })),
    };
    this.#worker = new Worker(new URL('./read-ahead-thread.js', import.meta.url), {
      workerData: task,
      transferList: [port2],
      execArgv: [],
    });
    this.#worker.on('error', () => undefined);
    this.#worker.unref();
    this.#port.unref();
  }

  /** The content of a section if the thread has it or is just reading it; null where the caller is to read it. */
  take(number: number): Uint8Array | null {
    const place = this.#places.get(number);
    if (place === undefined || this.#isGivenUp) return null;
    const state = 1 + place;
    if (place > Atomics.load(this.#shared, 0)) {
      Atomics.store(this.#shared, 0, place);
      Atomics.notify(this.#shared, 0);
    }
    const before = Atomics.compareExchange(this.#shared, state, SectionState.free, SectionState.own);
    if (before === SectionState.free || before === SectionState.own) return null;
    if (before === SectionState.taken) {
      const ended = Atomics.wait(this.#shared, state, SectionState.taken, PATIENCE_MS);
      if (ended === 'timed-out') this.#isGivenUp = true;
    }
    this.#receive(place);
    const bytes = this.#arrived.get(place) ?? null;
    this.#arrived.delete(place);
    return bytes;
  }

  /** Ends the thread. */
  close(): void {
    this.#isGivenUp = true;
    this.#arrived.clear();
    this.#port.close();
    void this.#worker.terminate();
  }

  /** Takes in what has arrived, and drops what was passed over. */
  #receive(place: number): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { readonly message: SectionRead } | undefined;
      if (received === undefined) break;
      this.#arrived.set(received.message.place, received.message.bytes);
    }
    for (const passed of this.#arrived.keys()) if (passed < place) this.#arrived.delete(passed);
  }
}
