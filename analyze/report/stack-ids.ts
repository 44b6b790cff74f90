import type { PhysicalFrame } from '../stacks/step.js';
import type { Unwound } from '../stacks/unwind.js';

/** Stacks whose ids are remembered: when there are more, all are forgotten. */
const MAX_KNOWN = 1 << 16;

/** A stack by its return addresses. */
interface KnownStack {
  readonly frames: readonly PhysicalFrame[];
  readonly isWhole: boolean;
  readonly id: string;
}

/**
 * Gives stacks ids: two stacks have the same if a reader sees the same lines, whatever the addresses behind them, and
 * both end early or neither does.
 */
export class StackIds {
  /** By a hash of the return addresses. */
  readonly #known = new Map<number, KnownStack[]>();
  #count = 0;
  /** Numbers of the lines of frames: frames with equal lines have equal numbers, whatever their pcs. */
  readonly #lineNumbers = new Map<string, number>();
  /** The same by pc: first of return addresses, then of traps. */
  readonly #lineNumberAt: readonly [Map<number, number>, Map<number, number>] = [new Map(), new Map()];

  idOf({ frames, truncated }: Unwound): string {
    const isWhole = truncated === null;
    const hash = hashOf(frames);
    let alike = this.#known.get(hash);
    if (alike !== undefined) {
      for (const known of alike) {
        if (known.isWhole === isWhole && areAtSamePcs(known.frames, frames)) return known.id;
      }
    }
    const id = `${frames.map((frame) => this.#lineNumber(frame)).join()}${isWhole ? '' : '!'}`;
    if (++this.#count > MAX_KNOWN) {
      this.#known.clear();
      this.#count = 1;
      alike = undefined;
    }
    if (alike === undefined) this.#known.set(hash, (alike = []));
    alike.push({ frames, isWhole, id });
    return id;
  }

  #lineNumber({ point, pc, trap }: PhysicalFrame): number {
    const known = this.#lineNumberAt[trap ? 1 : 0];
    let number = known.get(pc);
    if (number === undefined) {
      const text = point
        .lines(trap)
        .map(({ name, file, line }) => `${name} ${file}:${line}`)
        .join('\n');
      number = this.#lineNumbers.get(text) ?? this.#lineNumbers.size;
      this.#lineNumbers.set(text, number);
      known.set(pc, number);
    }
    return number;
  }
}

function hashOf(frames: readonly PhysicalFrame[]): number {
  let hash = 0;
  for (const { pc } of frames) hash = (Math.imul(hash, 31) + (pc | 0)) | 0;
  return hash;
}

function areAtSamePcs(a: readonly PhysicalFrame[], b: readonly PhysicalFrame[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i]?.pc !== b[i]?.pc || a[i]?.trap !== b[i]?.trap) return false;
  }
  return true;
}
