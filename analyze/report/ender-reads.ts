import type { Reads } from '../analysis.js';
import { EndingCode } from '../waits/ending-code.js';

/** The code of the functions on stacks, and the global variables that it names. */
export const CODE_READS: Reads = {
  named: (program) => {
    const code = new EndingCode(program);
    return (g) => program.stackOf(g).frames.map(({ point }) => code.of(point.func));
  },
  place: (program) => {
    const code = new EndingCode(program);
    return ({ point }) => code.of(point.func);
  },
};
