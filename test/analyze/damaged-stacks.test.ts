import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import type { GoProgram } from '../../analyze/program.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { specialFunc } from '../../analyze/stacks/special-functions.js';
import type { Unwound, WalkObserver } from '../../analyze/stacks/unwind.js';
import { plus, type Addr } from '../../snapshots/address.js';
import { withWord } from '../support/altered-memory.js';
import { openSample } from './report/samples.js';

/** Each word of real stacks is overwritten in turn. What counts as whole then must be a stack all the same. */

/** What makes a stack whole, whatever lies in its memory; empty if that holds. */
function faults({ image: { arch } }: GoProgram, { stack, stktopsp }: G, { frames, truncated }: Unwound): string[] {
  const wrong: string[] = [];
  const outermost = frames.at(-1);
  if (truncated === null && (outermost?.sp !== stktopsp || specialFunc(outermost.point.func.name) !== 'goexit')) {
    wrong.push('it is whole and does not end in goexit, at the end of the stack');
  }
  for (const [i, { sp, fp, trap }] of frames.entries()) {
    const caller = frames[i + 1];
    const isLast = caller === undefined && truncated !== null;
    if (sp <= stack.lo || (isLast ? sp : fp) > stack.hi) wrong.push(`frame ${i} is not on the stack`);
    if (caller === undefined) continue;
    const noFrame = arch === 'arm64' && (i === 0 || trap);
    if (caller.sp < sp || (caller.sp === sp && !noFrame)) wrong.push(`frame ${i + 1} lies below its callee`);
  }
  return wrong;
}

/** An observer makes every frame go through the general rules. */
const UNINTERESTED: WalkObserver = { usesWord: () => undefined, tookStep: () => undefined };

for (const sample of ['queue.gsp', 'go1.12.gsp', 'arm64.gsp']) {
  t.test(`damage: a stack with a wrong word ends early, or is a stack (${sample})`, (t) => {
    const program = openSample(t, sample);
    const parked = [...program.goroutines()].filter((g) => program.startOf(g)?.machine === null);
    const codes = parked.flatMap((g) => program.stackOf(g).frames.map(({ pc }) => pc));
    const goexit = codes.find((pc) => program.index.at(pc)?.special === 'goexit') ?? 0;
    const wrong: string[] = [];
    const pcs = new Float64Array(100);
    let [words, ended, whole] = [0, 0, 0];
    for (const g of parked) {
      const { frames, truncated } = program.stackOf(g);
      t.equal(truncated, null);
      const [from, to] = [frames[0]?.sp ?? 0, frames.at(-1)?.fp ?? 0];
      const code = (i: number): number => codes[(words * 7 + i) % codes.length] ?? 0;
      for (let at = from - 8; at < to; at += 8, words++) {
        for (const word of [
          0,
          1,
          0xdead_beef_dead,
          at - 64,
          g.stack.hi,
          2 ** 60,
          goexit,
          goexit - 1,
          code(0),
          code(3),
        ]) {
          const damaged = program.over({ memory: withWord(program.image.memory, at as Addr, word) });
          const stack = damaged.stackOf(g);
          if (!isDeepStrictEqual(stack, damaged.watchStackOf(g, UNINTERESTED))) {
            wrong.push(`${g.goid}: ${word} at ${at}: rule by rule it is another stack`);
          }
          const count = damaged.pcsOfWhole(g, pcs);
          const isSame =
            stack.truncated === null &&
            isDeepStrictEqual(
              [...pcs.subarray(0, count)],
              stack.frames.map(({ pc }) => pc),
            );
          if (count > 0 && !isSame) wrong.push(`${g.goid}: ${word} at ${at}: by its pcs it is another stack`);
          if (count > 0) whole++;
          wrong.push(...faults(program, g, stack).map((fault) => `${g.goid}: ${word} at ${at}: ${fault}`));
          if (stack.truncated === null) continue;
          ended++;
          const { code, goid } = damaged.warnings.at(-1) ?? {};
          if (code !== 'stack-truncated' || goid !== g.goid) wrong.push(`${g.goid}: no warning`);
        }
      }
    }
    t.same(wrong.slice(0, 20), []);
    t.ok(whole > 0, `${whole} stacks were recognized by their pcs`);
    t.ok(words > 100 && ended > words / 2, `${words} words; ${ended} stacks ended early`);
    t.end();
  });

  t.test(`damage: a stack full of one word ends early (${sample})`, (t) => {
    const program = openSample(t, sample);
    const parked = [...program.goroutines()].filter((g) => program.startOf(g)?.machine === null);
    for (const g of parked.slice(0, 10)) {
      const { frames } = program.stackOf(g);
      for (const { pc } of [{ pc: 0 }, ...frames]) {
        let { memory } = program.image;
        for (let at = frames[0]?.sp ?? 0; at < (frames.at(-1)?.fp ?? 0); at += 8)
          memory = withWord(memory, plus(at as Addr, 0), pc);
        const stack = program.over({ memory }).stackOf(g);
        t.same(faults(program, g, stack), []);
        t.not(stack.truncated, null);
      }
    }
    t.end();
  });
}
