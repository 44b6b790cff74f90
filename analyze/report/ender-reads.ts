import type { Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import { DoneAhead } from '../waits/done-ahead.js';
import { EndingCode } from '../waits/ending-code.js';

/** The code of the functions on stacks, the global variables that it names, and which calls of Done it comes to. */
export const CODE_READS: Reads = {
  named: (program) => {
    const read = readerOf(program);
    return (g) => program.stackOf(g).frames.map(({ point }) => read(point));
  },
  place: (program) => {
    const read = readerOf(program);
    return ({ point }) => read(point);
  },
};

function readerOf(program: GoProgram): (point: CodePoint) => unknown {
  const code = new EndingCode(program);
  const done = new DoneAhead(program, code);
  return ({ func, pc }) => [code.of(func), done.mayCome(pc)];
}
