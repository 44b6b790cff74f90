import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { Describer, listGoroutines } from '../../analyze/report/goroutines.js';
import { summarize } from '../../analyze/report/summary.js';
import { listThreads } from '../../analyze/report/threads.js';
import { captureToImage } from '../../capture/capture.js';
import { GospyError } from '../../snapshots/errors.js';
import { withParts, type ProcessImage } from '../../snapshots/image.js';
import { Memory, type MemorySource, type Range, type Window } from '../../snapshots/memory.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { untilQuiet } from '../support/quiet.js';
import { disagreements, type Answers } from './agreement.js';
import { damaged, isDamaged, DAMAGE, PLACES, type DamageOptions } from './damaged-memory.js';

const SEEDS = FULL_SIZE ? 6 : 2;
const PAGE = 4096;
/** How many lines of what went wrong are printed. */
const SHOWN = 5;

/** The image of a resting program that was captured by a stop. */
async function restingImage(t: Test, release: '1.12' | '1.17' | '1.26'): Promise<ProcessImage> {
  const program = await startGo(t, await buildGo({ fixture: 'park', release, link: 'stripped' }));
  await untilQuiet(program.pid);
  const { image } = await captureToImage(program.pid, { mode: 'stop', writer: '0.0.0' });
  await program.kill();
  return image;
}

/** Everything that is ever asked of an image, once. */
function analyze(image: ProcessImage): Answers {
  const program = openProgram(image);
  const goroutines = [...listGoroutines(program, 'stack')];
  summarize(program);
  return { goroutines, threads: listThreads(program).value, unreadable: program.unreadable };
}

/** The same; null where gospy refuses the image and says why. */
function analyzeDamaged(image: ProcessImage): Answers | null {
  try {
    return analyze(image);
  } catch (error) {
    if (error instanceof GospyError) return null;
    throw error;
  }
}

/** Each damage that is tried, at several places and densities. */
function* damages(damage: DamageOptions['damage']): Iterable<DamageOptions> {
  for (const place of PLACES) {
    for (const oneIn of [200, 20, 2]) {
      for (let seed = 0; seed < SEEDS; seed++) yield { damage, place, oneIn, seed };
    }
  }
}

for (const release of ['1.12', '1.17', '1.26'] as const) {
  t.test(
    `analyze: what Go ${release}'s memory lacks is said to be unknown, and everything else is exact`,
    async (t) => {
      if (!requireGo(t)) return;
      const image = await restingImage(t, release);
      const whole = analyze(image);
      t.ok(whole.goroutines.length > 90, `${whole.goroutines.length} goroutines`);
      let [answered, exact] = [0, 0];
      for (const options of damages('absent')) {
        const part = analyzeDamaged(damaged(image, options));
        if (part === null) continue;
        answered++;
        const known = new Map(whole.goroutines.map((g) => [g.goid, JSON.stringify(g)]));
        exact += part.goroutines.filter((g) => JSON.stringify(g) === known.get(g.goid)).length;
        t.same(disagreements(part, whole).slice(0, SHOWN), [], JSON.stringify(options));
      }
      t.ok(answered >= 2 * SEEDS && exact > 0, `${answered} answers, in which ${exact} goroutines are exact`);
    },
  );

  t.test(`analyze: broken memory of Go ${release} does not spoil what lies elsewhere`, async (t) => {
    if (!requireGo(t)) return;
    const image = await restingImage(t, release);
    const footprints = footprintsOf(image);
    let [untouched, touched] = [0, 0];
    for (const damage of DAMAGE) {
      for (const options of damages(damage)) {
        const broken = damaged(image, options);
        const part = analyzeDamaged(broken);
        const answers = new Map(part?.goroutines.map((g) => [g.goid, JSON.stringify(g)]));
        const wrong: string[] = [];
        for (const { goid, answer, pages } of footprints) {
          if (pages.some((page) => isDamaged(image, options, page))) {
            touched++;
            continue;
          }
          untouched++;
          if (answers.get(goid) !== answer) wrong.push(`goroutine ${goid}: ${answers.get(goid) ?? 'missing'}`);
        }
        t.same(wrong.slice(0, SHOWN), [], JSON.stringify(options));
      }
    }
    t.ok(
      Math.min(untouched, touched) > 170 * SEEDS,
      `${untouched} answers do not rest on broken memory, ${touched} do`,
    );
  });
}

/** What is said of a goroutine, and every page that was read to say it. */
interface Footprint {
  readonly goid: number;
  readonly answer: string;
  readonly pages: readonly number[];
}

/** Each goroutine is described by itself, by an analysis that knows nothing yet. */
function footprintsOf(image: ProcessImage): Footprint[] {
  return [...openProgram(image).goroutines()].map(({ addr, goid }) => {
    const pages = new PageRecorder(image.memory.source);
    const program = openProgram(withParts(image, { memory: new Memory(pages) }));
    program.goroutineReader.presentAddresses(program.globals.allgs);
    const describer = new Describer(program);
    const g = program.goroutineReader.read(addr);
    const answer = JSON.stringify(describer.complete.stack(g, describer.describe(g)));
    return { goid, answer, pages: [...pages.read] };
  });
}

/** Notes each page that anything is read from. */
class PageRecorder implements MemorySource {
  readonly read = new Set<number>();
  readonly #source: MemorySource;

  constructor(source: MemorySource) {
    this.#source = source;
  }

  window(addr: number): Window | null {
    const page = addr - (addr % PAGE);
    this.read.add(page);
    const window = this.#source.window(addr);
    if (window === null) return null;
    const [lo, hi] = [Math.max(window.lo, page), Math.min(window.hi, page + PAGE)];
    const { buffer, byteOffset } = window.view;
    return { lo, hi, view: new DataView(buffer, byteOffset + (lo - window.lo), hi - lo) };
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#source.ranges(lo, hi);
  }
}
