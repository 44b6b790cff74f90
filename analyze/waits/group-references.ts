import { firstIndex } from '../../snapshots/binary-search.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { DOES, EndingCode, type Ending } from './ending-code.js';
import { eachWordOf, searchedStack, someWord } from './frame-words.js';
import type { Evidence } from './model.js';

/**
 * Bytes before a WaitGroup in which the object is looked for that it is a field of, such as an errgroup.Group. Another object that lies
 * there is taken for it, too.
 */
const REACH = 512;
/** Bits of a filter that tells most words apart from those that are near to a WaitGroup. */
const FILTER_BITS = 2 ** 16;

/** What is to be known of a goroutine that is searched. */
export interface Searched {
  /** Whether it waits for a WaitGroup itself: then its frames refer to it for that. */
  readonly isOwn: (group: number) => boolean;
  /** Whether it may have captured what its frames do not hold. */
  readonly isCapturing: boolean;
}

/**
 * Finds the goroutines whose frames refer to a WaitGroup, or to what it may be a field of. Those are looked for only where no goroutine
 * is found that has the address of the WaitGroup and calls Done.
 */
export class GroupReferences {
  readonly #program: GoProgram;
  readonly #code: EndingCode;
  /** Ascending, and by the same index what names the WaitGroup there. */
  readonly #addresses: Float64Array;
  readonly #groups: readonly number[];
  readonly #addressOf: ReadonlyMap<number, number>;
  /** A bit for some parts of memory, each as long as {@link REACH}. */
  readonly #filter = new Uint8Array(FILTER_BITS / 8);

  /** `groups` has what names a WaitGroup, by its address. */
  constructor(program: GoProgram, groups: ReadonlyMap<number, number>) {
    this.#program = program;
    this.#code = program.index.facts(EndingCode);
    const sorted = [...groups].sort(([a], [b]) => a - b);
    this.#addresses = Float64Array.from(sorted, ([addr]) => addr);
    this.#groups = sorted.map(([, group]) => group);
    this.#addressOf = new Map(sorted.map(([addr, group]) => [group, addr]));
    for (const addr of this.#addresses) {
      this.#mark(addr);
      this.#mark(addr - REACH);
    }
  }

  /** The WaitGroups that a goroutine refers to, each with the evidence that it may call Done; null without such. */
  of(g: G, { isOwn, isCapturing }: Searched): Map<number, readonly Evidence[] | null> {
    const found = new Map<number, readonly Evidence[] | null>();
    const stack = searchedStack(this.#program, g);
    if (stack === null) return found;
    const { memory } = this.#program;
    const isNear = (word: number): boolean => [...this.#near(word)].some((group) => !isOwn(group));
    if (!isCapturing && !someWord(memory, stack.lo, stack.hi, isNear)) return found;
    for (const frame of this.#program.stackOf(g).frames) {
      const { func } = frame.point;
      // Words that the scheduler has left behind say nothing.
      if (func.name.startsWith('runtime.')) continue;
      const does = doesDone(this.#code.of(func));
      eachWordOf(memory, g, frame, (word) => {
        for (const group of this.#near(word)) {
          if (isOwn(group) || (found.get(group) ?? null) !== null || (does === null && found.has(group))) continue;
          // Whoever has what is around it alone does something else there.
          if (does === null && word !== this.#addressOf.get(group)) continue;
          const name = this.#program.index.symbolizer.printedName(func.name);
          found.set(group, does === null ? null : [evidenceOf(name, does)]);
        }
      });
    }
    return found;
  }

  /** Those at a word, or so near behind it that they may lie in what it points to. */
  *#near(word: number): Iterable<number> {
    const bit = bitOf(word);
    if (((this.#filter[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return;
    const addresses = this.#addresses;
    let i = firstIndex(addresses.length, (at) => (addresses[at] ?? 0) >= word);
    for (; i < addresses.length && (addresses[i] ?? 0) < word + REACH; i++) yield this.#groups[i] ?? 0;
  }

  #mark(addr: number): void {
    const bit = bitOf(addr);
    this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }
}

function bitOf(word: number): number {
  return Math.floor(word / REACH) % FILTER_BITS;
}

/** How a function comes to call Done; null if it does not. */
function doesDone({ own, within, called }: Ending): keyof Ending | null {
  if ((within & DOES.done) !== 0) return 'within';
  if ((own & DOES.done) !== 0) return 'own';
  return (called & DOES.done) !== 0 ? 'called' : null;
}

function evidenceOf(name: string, does: keyof Ending): Evidence {
  const what = 'refers to what it may be a field of';
  const message =
    does === 'within'
      ? `a function within ${name}, which ${what}, calls Done`
      : `${name} ${what} and calls ${does === 'own' ? 'Done' : 'a function that calls Done'}`;
  return { code: 'refers-around-and-done', message };
}
