import type { GoProgram } from '../program.js';
import type { Warning } from '../warnings.js';

/** What a report says, and what the capture and the analysis could not find out. */
export interface Answer<T> {
  readonly value: T;
  readonly warnings: readonly Warning[];
}

/** Completes a report's `value` with the warnings of the capture and of everything read of `program` so far. */
export function answer<T>(program: GoProgram, value: T): Answer<T> {
  const { image, runtime, warnings } = program;
  return { value, warnings: [...image.capture.warnings, ...warnings.map((w) => ({ ...w, runtime: runtime.n }))] };
}

/** A report that is too long to hold: each iteration works its items out anew, one at a time. */
export class StreamedAnswer<T> implements Iterable<T> {
  readonly #items: () => Iterable<T>;
  readonly #warnings: () => readonly Warning[];

  constructor(items: () => Iterable<T>, warnings: () => readonly Warning[]) {
    this.#items = items;
    this.#warnings = warnings;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items()[Symbol.iterator]();
  }

  /** Complete after an iteration; before, only what earlier reports on the program came across. */
  get warnings(): readonly Warning[] {
    return this.#warnings();
  }
}
