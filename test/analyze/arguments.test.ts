import t from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { CallFrame } from '../../analyze/report/model.js';
import type { Func, FunctionTable } from '../../analyze/binary/function-table.js';
import { releaseOf } from '../../analyze/runtime/releases.js';
import { ArgumentLists, type ArgumentList } from '../../analyze/stacks/argument-list.js';
import { captureToImage } from '../../capture/capture.js';
import type { Addr } from '../../snapshots/address.js';
import { Memory, onFault, SegmentSource } from '../../snapshots/memory.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { ARGUMENTS_CELLS, cellName } from '../support/releases.js';

/**
 * By function of test/fixtures/park, which words of its arguments are pointers that are used after the call in which it
 * waits: its source says so. Results follow before Go 1.17.
 */
const POINTERS: Readonly<Record<string, string>> = {
  // a int, p *int, before, after string
  'main.deadAndLive': 'nynnyn',
  // a string, rest ...interface{}
  'main.anyNumber': 'nnynn',
  // a int64, s string: its deferred function has them
  'main.deferredArguments': 'nnn',
};

/** Words of frames that the collector follows; `wrong` are those that cannot be pointers. */
function pointersOf(program: GoProgram, frames: readonly CallFrame[]): { count: number; wrong: string[] } {
  let count = 0;
  const wrong: string[] = [];
  for (const { func, inlined, args, argsLive, argsPointers } of frames) {
    const words = args?.match(/0x[0-9a-f]+\??/g) ?? [];
    const marks = [argsLive, argsPointers];
    if (!inlined && marks.some(({ length }) => length !== words.length))
      wrong.push(`${func}(${args}): ${marks.join()}`);
    words.forEach((word, i) => {
      const at = parseInt(word, 16);
      if (word.endsWith('?') !== (argsLive[i] === 'n')) wrong.push(`${func}: ${word} is said to be ${argsLive[i]}`);
      if (argsPointers[i] !== 'y') return;
      count++;
      if (at !== 0 && !program.image.mappings.some(({ start, end }) => at >= start && at < end)) {
        wrong.push(`${func}: ${word} is no pointer`);
      }
    });
  }
  return { count, wrong };
}

/** Frames whose words have other values than those that are printed. */
function* otherWords(program: GoProgram): Iterable<string> {
  for (const g of program.goroutines()) {
    for (const frame of program.stackOf(g).frames) {
      const text = program.frameArguments.text(frame);
      const words = program.frameArguments.words(frame)?.map(({ value }) => `0x${value.toString(16)}`);
      if (words?.join() !== (text?.match(/0x[0-9a-f]+/g) ?? []).join()) yield `${frame.point.func.name}(${text})`;
    }
  }
}

/** Bytes from a seed, evenly spread. */
function bytesFrom(seed: number, length: number): Uint8Array {
  let state = seed + 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

t.test('arguments: whatever the tables hold, a list ends, and its values fit it', (t) => {
  const lists = new Set<string>();
  for (let seed = 0; seed < 2000; seed++) {
    const bytes = bytesFrom(seed, 1024);
    const memory = new Memory(new SegmentSource([{ addr: 0x1000 as Addr, bytes }]));
    const table = {
      funcdata: (_func: unknown, index: number) => (seed % 7 === index ? null : 0x1000 + index * 100),
      pcdata: (_func: unknown, index: number, pc: number) => (seed % 5 === 0 ? -1 : (seed * index + pc) % 900),
      argumentBytes: () => seed * 8191,
    };
    const func = { entry: 0x5000, name: 'made.up' } as unknown as Func;
    for (const minor of [12, 17, 18, 20, 21, 27]) {
      const reader = new ArgumentLists(memory, releaseOf({ minor }), 'amd64');
      const list = onFault<ArgumentList, null>(
        () => reader.at(table as unknown as FunctionTable, func, 0x5010, seed % 2 === 0),
        () => null,
      );
      if (list === null) continue;
      lists.add(list.texts.join('0x1'));
      const fits = list.texts.length === list.slots.length + 1 && list.slots.length <= 86;
      if (!fits || list.slots.some(({ sizeBytes }) => sizeBytes > 8)) t.fail(`seed ${seed}, Go 1.${minor}`);
    }
  }
  t.ok(lists.size > 1000, `${lists.size} lists`);
  t.end();
});

if (requireGo(t)) {
  for (const cell of ARGUMENTS_CELLS) {
    t.test(`arguments: the words that the collector follows are pointers (${cellName(cell)})`, async (t) => {
      const { pid } = await startGo(t, await buildGo(cell));
      const { image } = await captureToImage(pid, { mode: 'stop', writer: 'test' });
      const program = openProgram(image);
      const frames = [...listGoroutines(program, 'stack')].flatMap((goroutine) => goroutine.frames);
      const { count, wrong } = pointersOf(program, frames);
      t.same(wrong, []);
      t.ok(count > 50, `${count} words that are followed`);
      for (const [func, expected] of Object.entries(POINTERS)) {
        const [frame, ...more] = frames.filter((one) => one.func === func);
        t.same(more, []);
        t.equal(frame?.argsPointers.slice(0, expected.length), expected, func);
      }
      t.same([...otherWords(program)], []);
    });
  }
}
