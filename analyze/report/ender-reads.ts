import type { Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { DoneAhead } from '../waits/done-ahead.js';
import { EndingCode } from '../waits/ending-code.js';
import { ReachedCalls } from '../waits/reached-calls.js';
import { ValueFlows } from '../waits/value-flows.js';

/**
 * The code of the functions on stacks, the global variables that it names, which calls of Done it comes to, and what it does to
 * channels that frames lead to.
 */
export const CODE_READS: Reads = {
  named: (program) => {
    const { code, done, reached } = searchesOf(program);
    return (g) =>
      program
        .stackOf(g)
        .frames.map((frame) => [code.of(frame.point.func), done.mayCome(frame.pc), reached.of(g, frame)]);
  },
  place: (program) => {
    const { code, done, reached } = searchesOf(program);
    return ({ point: { func, pc } }) => [code.of(func), done.mayCome(pc), reached.mayCome(pc)];
  },
};

function searchesOf(program: GoProgram) {
  const code = new EndingCode(program);
  const flows = new ValueFlows(program);
  return { code, done: new DoneAhead(program, code, flows), reached: new ReachedCalls(program, code, flows) };
}
