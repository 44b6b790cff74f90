import type { GoProgram } from './program.js';
import type { G } from './runtime/goroutine.js';
import type { PhysicalFrame } from './stacks/step.js';
import type { Unwound } from './stacks/unwind.js';

/** Stacks whose ids are remembered: when there are more, all are forgotten. */
const MAX_KNOWN = 1 << 16;

/** Frames of a stack that is recognized by its pcs alone. */
const MOST_PCS = 1024;

/** A stack by its return addresses: the same object for goroutines whose stacks have all of them in common. */
export interface KnownStack {
  /** Those of the first such goroutine: their sp and fp are its own. */
  readonly frames: readonly PhysicalFrame[];
  /** Why the stack ends early, or null. */
  readonly truncated: string | null;
}

/** One with its id, once that was asked for. */
interface NumberedStack extends KnownStack {
  id: string | null;
}

/**
 * Gives stacks ids: two stacks have the same if a reader sees the same lines, whatever the addresses behind them, and
 * both end early or neither does.
 */
export class StackIds {
  /** By a hash of the return addresses. */
  readonly #known = new Map<number, NumberedStack[]>();
  #count = 0;
  /** Of the stack that is looked at. */
  readonly #pcs = new Float64Array(MOST_PCS);
  /** Numbers of the lines of frames: frames with equal lines have equal numbers, whatever their pcs. */
  readonly #lineNumbers = new Map<string, number>();
  /** The same by pc: first of return addresses, then of traps. */
  readonly #lineNumberAt: readonly [Map<number, number>, Map<number, number>] = [new Map(), new Map()];

  /** The id of a goroutine's stack; and the stack, if it had to be followed frame by frame. */
  of(program: GoProgram, g: G): { readonly id: string; readonly stack: Unwound | null } {
    const { known, stack } = this.#find(program, g);
    known.id ??= this.#idOf(known);
    return { id: known.id, stack };
  }

  /** The stack by its addresses; and the goroutine's own, if it had to be followed frame by frame. */
  find(program: GoProgram, g: G): { readonly known: KnownStack; readonly stack: Unwound | null } {
    return this.#find(program, g);
  }

  #find(program: GoProgram, g: G): { readonly known: NumberedStack; readonly stack: Unwound | null } {
    const count = program.pcsOfWhole(g, this.#pcs);
    const known = count === 0 ? null : this.#knownWhole(count);
    if (known !== null) return { known, stack: null };
    const stack = program.stackOf(g);
    return { known: this.#remembered(stack), stack };
  }

  /** The whole stack of the first `count` of {@link #pcs}; null where it has not come before. */
  #knownWhole(count: number): NumberedStack | null {
    let hash = 0;
    for (let i = 0; i < count; i++) hash = hashOn(hash, this.#pcs[i] ?? 0);
    for (const known of this.#known.get(hash) ?? NO_STACKS) {
      const { frames, truncated } = known;
      if (truncated === null && frames.length === count && areReturnAddresses(frames, this.#pcs)) return known;
    }
    return null;
  }

  #remembered({ frames, truncated }: Unwound): NumberedStack {
    const hash = frames.reduce((hash, { pc }) => hashOn(hash, pc), 0);
    let alike = this.#known.get(hash);
    for (const known of alike ?? NO_STACKS) {
      if (known.truncated === truncated && areAtSamePcs(known.frames, frames)) return known;
    }
    if (++this.#count > MAX_KNOWN) {
      this.#known.clear();
      this.#count = 1;
      alike = undefined;
    }
    if (alike === undefined) this.#known.set(hash, (alike = []));
    const added: NumberedStack = { frames, truncated, id: null };
    alike.push(added);
    return added;
  }

  #idOf({ frames, truncated }: KnownStack): string {
    return `${frames.map((frame) => this.#lineNumber(frame)).join()}${truncated === null ? '' : '!'}`;
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

const NO_STACKS: readonly NumberedStack[] = [];

/** The hash of a list of pcs with one more. */
function hashOn(hash: number, pc: number): number {
  return (Math.imul(hash, 31) + (pc | 0)) | 0;
}

function areReturnAddresses(frames: readonly PhysicalFrame[], pcs: Float64Array): boolean {
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i];
    if (frame === undefined || frame.pc !== pcs[i] || frame.trap) return false;
  }
  return true;
}

function areAtSamePcs(a: readonly PhysicalFrame[], b: readonly PhysicalFrame[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i]?.pc !== b[i]?.pc || a[i]?.trap !== b[i]?.trap) return false;
  }
  return true;
}
