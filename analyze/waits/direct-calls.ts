import type { Addr } from '../../snapshots/address.js';
import type { Func } from '../binary/function-table.js';
import { callSites } from '../runtime/code-references.js';
import type { CodeIndex, CodePoint } from '../stacks/code-index.js';

/** A direct call, and where it returns to. */
export interface DirectCall {
  readonly next: Addr;
  /** Where the function begins that is called. */
  readonly callee: CodePoint;
}

/** Which functions call or jump to which, directly. */
export class DirectCalls {
  readonly #code: CodeIndex;
  /** By entry. */
  readonly #calls = new Map<number, readonly DirectCall[]>();

  constructor(code: CodeIndex) {
    this.#code = code;
  }

  /** Those in a function's code, in the order of the instructions. Throws MemoryFault where the code is absent. */
  of(func: Func): readonly DirectCall[] {
    let calls = this.#calls.get(func.entry);
    if (calls === undefined) {
      calls = callSites(this.#code.memory, this.#code.arch, func).flatMap(({ next, target }) => {
        const callee = this.#code.functionAt(target);
        return callee === null ? [] : [{ next, callee }];
      });
      this.#calls.set(func.entry, calls);
    }
    return calls;
  }
}
