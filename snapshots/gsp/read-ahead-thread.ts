import { workerData } from 'node:worker_threads';
import { RegularFile } from '../regular-file.js';
import { readSection } from './container.js';
import type { SectionEntry } from './format.js';
import { MOST_AHEAD, SectionState, type ReadAheadTask } from './read-ahead.js';

/** The thread of {@link ReadAhead}. */
function readAll({ path, fd, sections, shared, port }: ReadAheadTask): void {
  const file = new RegularFile(path, fd);
  for (const [place, section] of sections.entries()) {
    let reached = Atomics.load(shared, 0);
    for (; place - reached >= MOST_AHEAD; reached = Atomics.load(shared, 0)) Atomics.wait(shared, 0, reached);
    if (place < reached) continue;
    const state = 1 + place;
    if (Atomics.compareExchange(shared, state, SectionState.free, SectionState.taken) !== SectionState.free) continue;
    try {
      const bytes = read(file, section);
      port.postMessage({ place, bytes }, bytes === null ? [] : [bytes.buffer]);
    } finally {
      // Whatever happens here, the reader does not wait any longer.
      Atomics.store(shared, state, SectionState.sent);
      Atomics.notify(shared, state);
    }
  }
}

/** The content of a section, in memory of its own: Node's pool of small buffers cannot be sent. */
function read(file: RegularFile, section: SectionEntry): Uint8Array<ArrayBuffer> | null {
  try {
    const bytes = readSection(file, section);
    const { buffer } = bytes;
    const isAlone = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
    return isAlone ? new Uint8Array(buffer) : new Uint8Array(bytes);
  } catch {
    return null;
  }
}

readAll(workerData as ReadAheadTask);
