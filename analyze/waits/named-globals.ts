import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Func } from '../binary/function-table.js';
import type { GoProgram } from '../program.js';
import { mayPoint } from '../runtime/wait-records.js';
import { doesAny, EndingCode } from './ending-code.js';

/** The global variables that code names, with what is in them. */
export class NamedGlobals {
  readonly #program: GoProgram;
  readonly #code: EndingCode;
  /** By entry. */
  readonly #known = new Map<Addr, readonly Addr[]>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#code = program.index.facts(EndingCode);
  }

  /**
   * The addresses of those that a function names, such as that of a global sync.WaitGroup; of a function that ends waits ({@link
   * Ending}), the words there, too, such as a global channel. Whatever else a word holds is the program's own affair.
   */
  of(func: Func): readonly Addr[] {
    let known = this.#known.get(func.entry);
    if (known === undefined) this.#known.set(func.entry, (known = this.#read(func)));
    return known;
  }

  #read(func: Func): readonly Addr[] {
    const { memory } = this.#program;
    const ending = this.#code.of(func);
    const { globals } = ending;
    if (!doesAny(ending)) return globals;
    return onFault(
      () => {
        const pointing = globals.filter((at) => mayPoint(memory.unrecorded.wordOr0(at)));
        return [...new Set([...globals, ...pointing.map((at) => memory.wordOr0(at) as Addr)])];
      },
      () => globals,
    );
  }
}
