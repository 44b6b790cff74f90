import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { AddressTable, NONE } from './address-table.js';
import { DoneAhead } from './done-ahead.js';
import { DOES, doesAny, EndingCode, type Ending } from './ending-code.js';
import { eachWordOf, searchedStack, someWord } from './frame-words.js';
import type { Evidence, Strength } from './model.js';
import { NamedGlobals } from './named-globals.js';
import type { Reached } from './reached-calls.js';

/** What goroutines wait on, whose end other goroutines' frames may tell of. */
export interface Wanted {
  readonly addr: Addr;
  /** What has to be done to it: `send` ends a receive, and so on. */
  readonly by: 'send' | 'receive' | 'done' | 'signal';
  /** A receive that ends when the channel is closed, too. */
  readonly orClose: boolean;
}

/** What is to be known of something wanted, by its index, when a goroutine is searched. */
export interface Asked {
  /** The goroutine itself waits on it: that its frames name it says nothing then, unless it has something out of it. */
  readonly isOwn: (wanted: number) => boolean;
  /** Enough goroutines were found. */
  readonly isFull: (wanted: number) => boolean;
}

/** A goroutine that may end the waits on something. */
export interface Candidate {
  /** Index of the wanted thing. */
  readonly wanted: number;
  readonly g: G;
  readonly strength: Strength;
  readonly evidence: readonly Evidence[];
}

/** Bits of a filter that tells most words apart from what is wanted: for each thing at least this many, and always 2^20. */
const FILTER_BITS_EACH = 16;
const LEAST_FILTER_BITS = 2 ** 20;
/** The name of a closure, whose frame may have what it captured only behind a pointer. */
const CLOSURE = /\.func\d+(\.\d+)*$/;

/** A function that goroutines were started with. */
interface Start {
  /** {@link DOES}: it, functions within it, and those that it calls. */
  readonly does: number;
  /** True for a closure that may do something to what it captured. */
  readonly isCapturing: boolean;
}

/** A word that names something wanted, in a frame whose code may end waits. */
interface Named {
  readonly g: G;
  readonly frame: PhysicalFrame;
  readonly word: number;
  readonly ending: Ending;
  /** The goroutine waits on it itself. */
  readonly isOwn: boolean;
}

/** Finds the goroutines whose frames refer to something and whose code does what ends a wait on it. */
export class EnderSearch {
  readonly #program: GoProgram;
  readonly #code: EndingCode;
  readonly #globals: NamedGlobals;
  readonly #wanted: readonly Wanted[];
  /** By address, the first thing that is wanted there; by thing, the next one at its address, or {@link NONE}. */
  readonly #firstAt = new AddressTable();
  readonly #next: Int32Array;
  readonly #starts = new Map<number, Start>();
  /** By code address, what {@link #mayDoItself} returns. */
  readonly #itself = new Map<number, number>();
  /** By code address, what {@link #namesGlobal} returns. */
  readonly #byGlobal = new Map<number, boolean>();
  readonly #filter: Uint8Array;
  readonly #doneAhead: DoneAhead;

  constructor(program: GoProgram, wanted: readonly Wanted[]) {
    this.#program = program;
    this.#code = program.index.facts(EndingCode);
    this.#globals = new NamedGlobals(program);
    this.#wanted = wanted;
    this.#doneAhead = new DoneAhead(program);
    const bits = Math.max(LEAST_FILTER_BITS, 2 ** Math.ceil(Math.log2(FILTER_BITS_EACH * wanted.length)));
    this.#filter = new Uint8Array(bits / 8);
    this.#next = new Int32Array(wanted.length);
    for (let i = wanted.length - 1; i >= 0; i--) {
      const addr = wanted[i]?.addr ?? 0;
      this.#next[i] = this.#firstAt.get(addr);
      this.#firstAt.set(addr, i);
      const bit = this.#bitOf(addr);
      this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
  }

  /**
   * What a goroutine may end. `pcs` are the code addresses of its stack.
   */
  of(g: G, pcs: Float64Array, asked: Asked): Candidate[] {
    const stack = searchedStack(this.#program, g);
    if (stack === null || this.#wanted.length === 0) return [];
    const isNamed = (): boolean =>
      someWord(this.#program.memory, stack.lo, stack.hi, (word) => this.#isNamed(word, asked));
    const mayEnd = (pc: number): boolean => this.#mayDoItself(pc) !== 0 || this.#namesGlobal(pc);
    if (!this.#startOf(g).isCapturing && !pcs.some(mayEnd) && !isNamed()) return [];
    const best = new Map<number, Candidate>();
    for (const frame of this.#program.stackOf(g).frames) this.#search(g, frame, asked, best);
    return [...best.values()];
  }

  /** Whether the function that a goroutine was started with calls Done, or one within it, or that it calls. */
  callsDone(g: G): boolean {
    return (this.#startOf(g).does & DOES.done) !== 0;
  }

  /** Whether that function is a closure which may do something to what it has captured. */
  isCapturing(g: G): boolean {
    return this.#startOf(g).isCapturing;
  }

  #startOf({ startpc }: G): Start {
    let start = this.#starts.get(startpc);
    if (start === undefined) this.#starts.set(startpc, (start = this.#startAt(startpc)));
    return start;
  }

  #startAt(startpc: number): Start {
    const func = onFault(
      () => this.#program.index.at(startpc)?.func ?? null,
      () => null,
    );
    if (func === null) return { does: 0, isCapturing: false };
    const { own, within, called } = this.#code.of(func);
    const does = own | within | called;
    return { does, isCapturing: does !== 0 && CLOSURE.test(func.name) };
  }

  /** Whether a word is the address of something wanted that is not the goroutine's own. */
  #isNamed(word: number, asked: Asked): boolean {
    for (let at = this.#firstWantedAt(word); at !== NONE; at = this.#next[at] ?? NONE) {
      if (!asked.isOwn(at) && !asked.isFull(at)) return true;
    }
    return false;
  }

  /** Whether the code at an address names something wanted by a global variable, and does what ends waits. */
  #namesGlobal(pc: number): boolean {
    let known = this.#byGlobal.get(pc);
    if (known === undefined) {
      const func = onFault(
        () => this.#program.index.at(pc)?.func ?? null,
        () => null,
      );
      known =
        func !== null &&
        doesAny(this.#code.of(func)) &&
        this.#globals.of(func).some((word) => this.#firstWantedAt(word) !== NONE);
      this.#byGlobal.set(pc, known);
    }
    return known;
  }

  /** The first thing that is wanted at an address; {@link NONE} where nothing is. */
  #firstWantedAt(word: number): number {
    const bit = this.#bitOf(word);
    return ((this.#filter[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0 ? NONE : this.#firstAt.get(word);
  }

  /** Objects of Go programs are 8 bytes apart at least. */
  #bitOf(word: number): number {
    return (((word / 8) | 0) ^ ((word / 2 ** 23) | 0)) & (8 * this.#filter.length - 1);
  }

  /** Searches what a frame refers to: words in it, what its closure captured, and globals that its code names. */
  #search(g: G, frame: PhysicalFrame, asked: Asked, best: Map<number, Candidate>): void {
    const { func } = frame.point;
    const ending = this.#code.of(func);
    if (!doesAny(ending)) return;
    const search = (word: number): void => {
      for (let wanted = this.#firstWantedAt(word); wanted !== NONE; wanted = this.#next[wanted] ?? NONE) {
        if (!asked.isFull(wanted)) this.#consider(wanted, { g, frame, word, ending, isOwn: asked.isOwn(wanted) }, best);
      }
    };
    for (const word of this.#globals.of(func)) search(word);
    eachWordOf(this.#program.memory, g, frame, search);
  }

  /** Adds a goroutine to the best candidates if it may end the waits on something that a word of a frame names. */
  #consider(wanted: number, { g, frame, word, ending, isOwn }: Named, best: Map<number, Candidate>): void {
    const by = DOES[this.#wanted[wanted]?.by ?? 'send'];
    if (isOwn && (this.#mayDoItself(frame.pc) & by) === 0) return;
    const name = this.#program.index.symbolizer.printedName(frame.point.func.name);
    const found = !isOwn
      ? this.#judge(wanted, ending, name)
      : by === DOES.done
        ? this.#ownDone(g, frame, name, word)
        : this.#doneAhead.hasDeferred(g, frame, word, by)
          ? this.#judge(wanted, ending, name)
          : null;
    const known = best.get(wanted);
    if (found !== null && (known === undefined || (known.strength === 'candidate' && found.strength !== 'candidate')))
      best.set(wanted, { wanted, g, ...found });
  }

  /** Whether a goroutine that waits for the WaitGroup at an address has to call Done itself, in this frame. */
  #ownDone(g: G, frame: PhysicalFrame, name: string, group: number): Pick<Candidate, 'strength' | 'evidence'> | null {
    const isDirect = this.#doneAhead.comes(frame, group);
    if (!isDirect && !this.#doneAhead.hasDeferred(g, frame, group, DOES.done)) return null;
    const what = isDirect ? 'comes to a call of Done on it' : 'has deferred a call of Done on it';
    return { strength: 'probable', evidence: [{ code: 'done-ahead', message: `${name} ${what}` }] };
  }

  /**
   * What a goroutine that is to return to `pc` may do to a channel that it waits on itself ({@link DOES}). It may send if it has
   * received before and sends in a deferred call: it has something out of a pool. It may receive if it has sent before and
   * receives in a deferred call, as with a semaphore. It may call Done if it comes to that, or in a deferred call.
   */
  #mayDoItself(pc: number): number {
    let known = this.#itself.get(pc);
    if (known === undefined) this.#itself.set(pc, (known = this.#doesItself(pc)));
    return known;
  }

  #doesItself(pc: number): number {
    const func = onFault(
      () => this.#program.index.at(pc)?.func ?? null,
      () => null,
    );
    if (func === null) return 0;
    const { own, within } = this.#code.of(func);
    if (((own | within) & (DOES.send | DOES.receive | DOES.done)) === 0) return 0;
    let before = 0;
    for (const { next, callee } of this.#code.callsIn(func)) if (next < pc) before |= this.#code.doesCall(callee);
    const sends = (before & DOES.receive) === 0 ? 0 : within & DOES.send;
    const receives = (before & DOES.send) === 0 ? 0 : within & DOES.receive;
    const done = (own & DOES.done) !== 0 && this.#doneAhead.mayCome(pc) ? DOES.done : within & DOES.done;
    return sends | receives | done;
  }

  #judge(
    index: number,
    { own, within, called }: Ending,
    name: string,
  ): Pick<Candidate, 'strength' | 'evidence'> | null {
    const wanted = this.#wanted[index];
    if (wanted === undefined) return null;
    const isDone = wanted.by === 'done';
    const bits = DOES[wanted.by] | (wanted.orClose ? DOES.close : 0);
    const select = wanted.by === 'send' || wanted.by === 'receive' ? DOES.select : 0;
    const verb = (does: number): string => VERBS[wanted.by][does & DOES[wanted.by] ? 0 : 1];
    if ((within & bits) !== 0) {
      const message = `a function within ${name}, which refers to it, ${verb(within)}`;
      return { strength: isDone ? 'probable' : 'candidate', evidence: [{ code: `refers-and-${wanted.by}`, message }] };
    }
    if ((own & bits) !== 0) {
      const message = `${name} refers to it and ${verb(own)}`;
      return { strength: 'candidate', evidence: [{ code: `refers-and-${wanted.by}`, message }] };
    }
    if ((called & bits) !== 0) {
      const message = `${name} refers to it and calls a function that ${verb(called)}`;
      return { strength: 'candidate', evidence: [{ code: `refers-and-calls-${wanted.by}`, message }] };
    }
    if ((own & select) === 0) return null;
    const message = `${name} refers to it and has a select`;
    return { strength: 'candidate', evidence: [{ code: 'refers-and-select', message }] };
  }
}

/** Whether what is done ({@link DOES}) ends a wait. */
export function endsBy({ by, orClose }: Wanted, does: number): boolean {
  return (does & (DOES[by] | (orClose ? DOES.close : 0))) !== 0;
}

/** Why a goroutine is named whose function, of this name, comes to what ends a wait ({@link DOES}). */
export function reachedEvidence(name: string, { by }: Wanted, does: number, how: Reached['how']): Evidence {
  const verb = VERBS[by][does & DOES[by] ? 0 : 1];
  if (how === 'deferred') return { code: `deferred-${by}`, message: `${name} has deferred a call that ${verb}` };
  return how === 'itself'
    ? { code: `leads-and-${by}`, message: `${name} leads to it and ${verb}` }
    : { code: `leads-and-calls-${by}`, message: `${name} leads to it and calls a function that ${verb}` };
}

/** What is done, and what else ends the wait. */
const VERBS: Readonly<Record<Wanted['by'], readonly [string, string]>> = {
  send: ['sends', 'closes a channel'],
  receive: ['receives', 'receives'],
  done: ['calls Done', 'calls Done'],
  signal: ['signals', 'signals'],
};
