import { Pinned } from '../libc.js';

/** The first room, in bytes. */
const LEAST = 1 << 20;
/** Parts begin at multiples of this, so that words in them are aligned. */
const ALIGN = 64;

/**
 * Room for what is read in a stop without having been planned. It was written to before, since the kernel takes long to
 * hand out pages that were never used (0.25 us a kB), and grows between stops to what was needed last.
 */
export class Slab {
  #room: Pinned | null = null;
  #used = 0;
  /** What was asked for since the last {@link rewind}, whether it found room or not; and the most that ever was. */
  #asked = 0;
  #most = 0;

  /** Takes a part. It lasts until the next {@link rewind}. Where there is no room left, it is memory of its own. */
  take(sizeBytes: number): Pinned {
    const padded = sizeBytes + ALIGN - (sizeBytes % ALIGN);
    this.#asked += padded;
    const at = this.#used;
    if (this.#room === null || at + padded > this.#room.bytes.length) return new Pinned(sizeBytes);
    this.#used += padded;
    return new Pinned(sizeBytes, this.#room, at);
  }

  /** Ends the use of all parts. */
  rewind(): void {
    this.#most = Math.max(this.#most, this.#asked);
    this.#used = 0;
    this.#asked = 0;
  }

  /** As {@link rewind}, and makes room for half as much again as was ever asked for. Not for the stop. */
  grow(): void {
    this.rewind();
    const wanted = Math.max(LEAST, 1.5 * this.#most);
    if (this.#room !== null && this.#room.bytes.length >= wanted - ALIGN) return;
    this.#room = new Pinned(wanted - (wanted % ALIGN));
    this.#room.bytes.fill(1);
  }
}
