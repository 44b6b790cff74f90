import { inOrder, type Block, type Blocks } from './code-blocks.js';

/** Steps over a function, for each of its blocks: a function that takes more is given up. */
const STEPS_A_BLOCK = 64;

/** What is known at one place in code. */
interface State<S> {
  copy(): S;
  /** What is known where control may also come with another state, to a place with a name; null where that is the same. */
  joined(other: S, place: string): S | null;
}

/** Goes over the blocks of a function until what is known at their starts changes no more. */
export class FixedPoint {
  readonly #order: readonly Block[];
  /** Where each block is in that order, by its start. */
  readonly #positions: ReadonlyMap<number, number>;

  constructor(blocks: Blocks) {
    this.#order = inOrder(blocks);
    this.#positions = new Map(this.#order.map(({ start }, position) => [start, position]));
  }

  /**
   * Puts what is known into `states`, by the starts of blocks. `after` tells with what control goes on from a block, and where.
   * Returns false for a function that takes too many steps. In this order most blocks take one: what comes to them is known.
   */
  find<S extends State<S>>(
    states: Map<number, S>,
    entry: S,
    after: (block: Block, state: S) => readonly (readonly [to: number, state: S])[],
  ): boolean {
    let left = STEPS_A_BLOCK * (this.#order.length + 1);
    states.set(0, entry);
    const isWaiting = new Uint8Array(this.#order.length);
    isWaiting[0] = 1;
    for (let at = isWaiting.indexOf(1); at >= 0; at = isWaiting.indexOf(1, at)) {
      const block = this.#order[at];
      const state = block === undefined ? undefined : states.get(block.start);
      if (block === undefined || state === undefined || left-- === 0) return false;
      isWaiting[at] = 0;
      for (const [to, out] of after(block, state)) {
        const before = states.get(to);
        const joined = before === undefined ? out.copy() : before.joined(out, `${to}`);
        if (joined === null) continue;
        states.set(to, joined);
        const position = this.#positions.get(to);
        if (position === undefined) return false;
        isWaiting[position] = 1;
        at = Math.min(at, position);
      }
    }
    return true;
  }
}
