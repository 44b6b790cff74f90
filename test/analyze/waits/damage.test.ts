import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { findLeaks } from '../../../analyze/report/leaks.js';
import { reportWaits } from '../../../analyze/report/waits.js';
import { WaitReader } from '../../../analyze/runtime/wait-records.js';
import { captureToImage } from '../../../capture/capture.js';
import { hex, type Addr } from '../../../snapshots/address.js';
import { GospyError } from '../../../snapshots/errors.js';
import { withParts, type ProcessImage } from '../../../snapshots/image.js';
import { LayeredSource, Memory, SegmentSource } from '../../../snapshots/memory.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { LOCKS_CELLS } from '../../support/wait-cells.js';
import { damaged, DAMAGE, type DamageOptions } from '../damaged-memory.js';
import { toldLocks } from './told-locks.js';

const SEEDS = 2;

/** Bytes of the largest of sync's locks. */
const LOCK_BYTES = 24;

/** That one goroutine surely waits for another: their gs, since ids may be damaged themselves, and the lock. */
interface SureEdge {
  /** All that have the id: damage may make two of one. */
  readonly from: readonly Addr[];
  readonly to: readonly Addr[];
  readonly lock: number;
}

function sureEdges(program: GoProgram): SureEdge[] {
  const { edges, goroutines, cycles, roots, things } = reportWaits(program).value;
  // All of it is worked out, as the command does.
  [...goroutines, ...cycles, ...roots, ...things].forEach((one) => JSON.stringify(one));
  findLeaks(program);
  const sure = [...edges].filter(({ strength }) => strength === 'exact' || strength === 'strong');
  const gs = new Map<number, Addr[]>();
  for (const { goid, addr } of program.goroutines()) gs.set(goid, [...(gs.get(goid) ?? []), addr]);
  return sure.map(({ from, to, addr }) => ({
    from: gs.get(from) ?? [],
    to: gs.get(to) ?? [],
    lock: parseInt(addr ?? '0', 16),
  }));
}

/** The same; null where gospy refuses the image and says why. */
function sureEdgesIn(image: ProcessImage): SureEdge[] | null {
  try {
    return sureEdges(openProgram(image));
  } catch (error) {
    if (error instanceof GospyError) return null;
    throw error;
  }
}

function textOf({ from, to, lock }: SureEdge): string {
  return `g ${from.map(hex).join()} waits for ${to.map(hex).join()} at 0x${lock.toString(16)}`;
}

/** The image of a program that says who holds what, what is surely told of it whole, and whether it says otherwise. */
async function image(t: Test): Promise<{
  image: ProcessImage;
  whole: readonly SureEdge[];
  isWrong: (edge: SureEdge) => boolean;
}> {
  const cell = LOCKS_CELLS.at(-1);
  if (cell === undefined) throw new RangeError('there is no such program');
  const running = await startGo(t, await buildGo(cell));
  const { image } = await captureToImage(running.pid, { mode: 'stop', writer: 'test' });
  const program = openProgram(image);
  const told = toldLocks(program, running.stdout);
  await running.kill();
  const whole = sureEdges(program);
  const known = new Set(whole.map(textOf));
  const goids = new Map([...program.goroutines()].map(({ addr, goid }) => [addr, goid]));
  // Where frames are missing, a Once may be taken for the Mutex in it.
  const holdersAt = (lock: number): number[] =>
    told.filter(({ lock: { addr } }) => lock >= addr && lock < addr + LOCK_BYTES).flatMap(({ holders }) => holders);
  const isWrong = (edge: SureEdge): boolean =>
    !known.has(textOf(edge)) && !edge.to.some((g) => holdersAt(edge.lock).includes(goids.get(g) ?? 0));
  return { image, whole, isWrong };
}

t.test('waits, leaks: damaged memory names no wrong holder as sure, and comes to an end', async (t) => {
  if (!requireGo(t)) return;
  const { image: intact, whole, isWrong } = await image(t);
  t.ok(whole.length > 20, `${whole.length} sure holders`);
  const known = new Set(whole.map(textOf));
  for (const damage of DAMAGE) {
    let [answers, right] = [0, 0];
    const wrong: string[] = [];
    for (const place of ['writable', 'everywhere'] as const) {
      for (const oneIn of [100, 5]) {
        for (let seed = 0; seed < SEEDS; seed++) {
          const options: DamageOptions = { damage, place, oneIn, seed };
          const found = sureEdgesIn(damaged(intact, options));
          if (found === null) continue;
          answers++;
          right += found.filter((edge) => known.has(textOf(edge))).length;
          wrong.push(...found.filter(isWrong).map((edge) => `${JSON.stringify(options)}: ${textOf(edge)}`));
        }
      }
    }
    t.ok(answers > 0 && right > 0, `${damage}: ${answers} answers with ${right} sure holders`);
    t.same(wrong, [], `${damage}: none of them is wrong`);
  }
});

t.test('waits: queues and trees of waiters that are circles come to an end', async (t) => {
  if (!requireGo(t)) return;
  const { image: intact, isWrong } = await image(t);
  const program = openProgram(intact);
  const sudog = program.layouts.of('sudog');
  const waits = new WaitReader(program);
  const sudogs = [...program.goroutines()].flatMap((g) => waits.waitsFor(g)?.sudogs.map(({ addr }) => addr) ?? []);
  t.ok(sudogs.length > 20);
  const links = ['next', 'prev', 'waitlink', 'parent', 'waittail'].filter((field) => sudog.has(field));
  for (const to of ['itself', 'the first', 'the next one'] as const) {
    for (const link of links) {
      const pointed = sudogs.map((addr, i) => {
        const target = to === 'itself' ? addr : to === 'the first' ? sudogs[0] : sudogs[(i + 1) % sudogs.length];
        return { addr: (addr + sudog.offset(link)) as Addr, bytes: wordBytes(target ?? 0) };
      });
      pointed.sort((a, b) => a.addr - b.addr);
      const memory = new Memory(new LayeredSource([new SegmentSource(pointed), intact.memory.source]));
      const found = sureEdgesIn(withParts(intact, { memory }));
      t.same((found ?? []).filter(isWrong).map(textOf), [], `${link} of every sudog is ${to}`);
    }
  }
});

function wordBytes(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true);
  return out;
}
