import type { Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { DoneAhead } from '../waits/done-ahead.js';
import { NamedGlobals } from '../waits/named-globals.js';
import { ReachedCalls } from '../waits/reached-calls.js';

/**
 * The code of the functions on stacks, the global variables that it names, which calls of Done it comes to, and what it does to
 * channels that frames lead to.
 */
export const CODE_READS: Reads = {
  named: (program) => {
    const { globals, done, reached } = searchesOf(program);
    return (g) =>
      program
        .stackOf(g)
        .frames.map((frame) => [globals.of(frame.point.func), done.mayCome(frame.pc), reached.of(g, frame)]);
  },
  place: (program) => {
    const { globals, done, reached } = searchesOf(program);
    return ({ point: { func, pc } }) => [globals.of(func), done.mayCome(pc), reached.mayCome(pc)];
  },
};

function searchesOf(program: GoProgram) {
  return { globals: new NamedGlobals(program), done: new DoneAhead(program), reached: new ReachedCalls(program) };
}
