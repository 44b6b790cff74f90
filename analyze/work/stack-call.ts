import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { ArgumentWord } from '../stacks/frame-arguments.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { GoType } from '../types/type-reader.js';
import type { Values } from '../types/values.js';
import type { Call, InterfaceWord, LiveWord } from './decoder.js';

/** Bytes of a frame that are searched. */
const MAX_FRAME = 4096;
/** First words of interfaces that are remembered: a program has fewer, but memory may be damaged. */
const MAX_ITABS = 10_000;
/** Addresses of user space end here. */
const HIGHEST = 2n ** 47n;

/** Makes calls of frames, and remembers what is the same for many. */
export class StackCalls {
  readonly values: Values;
  readonly #program: GoProgram;
  /** The indices of words that may be the first of an interface with methods, by place in the code. */
  readonly #pairs = new WeakMap<CodePoint, readonly number[]>();
  readonly #itabs = new Map<number, GoType | null>();

  constructor(program: GoProgram, values: Values) {
    this.#program = program;
    this.values = values;
  }

  /** The call whose frame has an index. */
  at(frames: readonly PhysicalFrame[], index: number): StackCall | null {
    const frame = frames[index];
    return frame === undefined ? null : new StackCall(this, frames, index, frame);
  }

  words(frame: PhysicalFrame): readonly ArgumentWord[] {
    return this.#program.frameArguments.words(frame) ?? [];
  }

  stackWord(at: Addr): number {
    return onFault(
      () => this.#program.memory.word(at),
      () => 0,
    );
  }

  /** Its second word is a pointer; its first one is none to the garbage collector, which does not keep what it points to. */
  pairsOf({ point, trap }: PhysicalFrame): readonly number[] {
    let pairs = this.#pairs.get(point);
    if (pairs === undefined) {
      const slots = point.argumentList(trap)?.slots ?? [];
      pairs = slots.flatMap((slot, i) => {
        const next = slots[i + 1];
        const fits = slot.sizeBytes === 8 && next?.sizeBytes === 8 && next.offset === slot.offset + 8;
        return fits && slot.pointer !== true && isLive(slot) !== false && isLive(next) === true ? [i] : [];
      });
      this.#pairs.set(point, pairs);
    }
    return pairs;
  }

  /** The type of the values in an interface with this first word. */
  typeOf(itab: number): GoType | null {
    let type = this.#itabs.get(itab);
    if (type === undefined) {
      type = itab % 8 === 0 && itab > 0 ? this.values.types.ofInterface(itab as Addr, true) : null;
      if (this.#itabs.size < MAX_ITABS) this.#itabs.set(itab, type);
    }
    return type;
  }
}

/** A call on a stack. */
export class StackCall implements Call {
  readonly #calls: StackCalls;
  readonly #frames: readonly PhysicalFrame[];
  readonly #index: number;
  readonly #frame: PhysicalFrame;
  #words: readonly ArgumentWord[] | null = null;

  constructor(calls: StackCalls, frames: readonly PhysicalFrame[], index: number, frame: PhysicalFrame) {
    this.#calls = calls;
    this.#frames = frames;
    this.#index = index;
    this.#frame = frame;
  }

  get func(): string {
    return this.#frame.point.func.name;
  }

  get caller(): string {
    return this.#frames[this.#index + 1]?.point.func.name ?? '';
  }

  word(index: number): LiveWord | null {
    this.#words ??= this.#calls.words(this.#frame);
    return liveWord(this.#words[index]);
  }

  *interfaces(): Iterable<InterfaceWord> {
    for (const i of this.#calls.pairsOf(this.#frame)) {
      const data = this.word(i + 1);
      const itab = this.#words?.[i]?.value ?? HIGHEST;
      const type = data === null || itab >= HIGHEST ? null : this.#calls.typeOf(Number(itab));
      if (data !== null && type !== null) yield { ...data, type };
    }
  }

  *stack(): Iterable<Call> {
    for (let i = 0; i < this.#frames.length; i++) {
      const call = this.#calls.at(this.#frames, i);
      if (call !== null) yield call;
    }
  }

  *frameWords(): Iterable<Addr> {
    const { sp, fp } = this.#frame;
    for (let at = sp; at < Math.min(fp, sp + MAX_FRAME); at += 8) {
      const word = this.#calls.stackWord(at as Addr);
      if (word > 0 && word % 8 === 0) yield word as Addr;
    }
  }
}

/** A word as decoders see it; null where it is not live, nothing tells, or it is no address. */
export function liveWord(word: ArgumentWord | undefined): LiveWord | null {
  if (word === undefined || word.value >= HIGHEST || isLive(word) !== true) return null;
  return { value: Number(word.value) as Addr, mapped: word.pointer === true };
}

/** Where nothing tells whether a slot is live, only what the garbage collector takes for a pointer is; null where that is unknown. */
function isLive({ live, pointer }: Pick<ArgumentWord, 'live' | 'pointer'>): boolean | null {
  return live ?? (pointer === true ? true : null);
}
