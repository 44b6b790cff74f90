import t from 'tap';
import type { GoProgram } from '../../analyze/program.js';
import { readGoroutine, usedStack } from '../../analyze/runtime/memory-ranges.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { WaitReader } from '../../analyze/runtime/wait-records.js';
import { Copy } from '../../capture/copy/copy.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { addr, type Addr } from '../../snapshots/address.js';
import { LayeredSource, Memory, onFault, SegmentSource } from '../../snapshots/memory.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, PAIRS_CELLS } from '../support/releases.js';

/** More in `npm run test:all`. */
const PLANS = FULL_SIZE ? 20 : 2;
/** The first of a plan knows nothing of what an earlier one missed. */
const STOPS_A_PLAN = 3;
const GOROUTINES = 1400;

t.setTimeout(3_600_000);

/** What a snapshot must have of a goroutine, as a text that says what is missing. */
interface Seen {
  readonly text: string;
  readonly g: G;
  readonly waitsIn: readonly Addr[];
  readonly labels: Readonly<Record<string, string>>;
}

function orMissing<T>(read: () => T): T | string {
  return onFault(read, ({ message }) => message);
}

/** Looks at every goroutine through `program`, in the words of the readers that reports use. */
function lookAt(program: GoProgram): Map<Addr, Seen> {
  const waits = new WaitReader(program);
  const { memory, layouts } = program;
  const hex = (lo: number, length: number): string =>
    orMissing(() => Buffer.from(memory.bytes(addr(lo), length)).toString('hex'));
  const out = new Map<Addr, Seen>();
  for (const address of program.goroutineReader.addresses(program.globals.allgs)) {
    const g = readGoroutine(program, address as Addr);
    if (g === null) continue;
    const found = waits.waitsFor(g);
    const sudogs = found?.sudogs ?? [];
    const channels = sudogs.map(({ c }) => c).filter((c) => c !== 0);
    const words = found === null ? null : waits.wordsOf(found);
    const used = usedStack(g.stack.lo, g.stack.hi, g.syscallsp === 0 ? g.sched.sp : g.syscallsp);
    const labels = orMissing(() => program.labelReader.read(g.labels));
    const ancestors = orMissing(() => program.ancestorReader.read(g.ancestors));
    // Not its bytes: a sender may be writing to the stack of a receiver that still waits.
    const isOnStack = used !== null && g.status !== 'running' && g.status !== 'syscall';
    const { frames, truncated } = isOnStack ? program.stackOf(g) : { frames: [], truncated: null };
    const text = JSON.stringify([
      g,
      sudogs,
      channels.map((c) => hex(c, layouts.of('hchan').sizeBytes)),
      words === null ? null : hex(words.lo, words.hi - words.lo),
      found?.sync,
      labels,
      ancestors,
      frames.map(({ point, fp }) => [point.pc, fp]),
      truncated,
    ]);
    const waitsIn = found !== null && found.sync !== 0 ? [found.sync] : channels;
    out.set(g.addr, { text, g, waitsIn, labels: typeof labels === 'string' ? {} : labels });
  }
  return out;
}

/** By pair, the memory of all that its goroutines ever wait for, as the program prints it. */
function parseObjects(line: string): Map<string, { lo: number; hi: number }[]> {
  return new Map(
    line.split(' ').map((one) => {
      const [pair = '', parts = ''] = one.split(':');
      const ranges = parts.split(',').map((part) => {
        const [at, size] = part.split('+').map(Number);
        return { lo: at ?? 0, hi: (at ?? 0) + (size ?? 0) };
      });
      return [pair, ranges];
    }),
  );
}

for (const cell of PAIRS_CELLS) {
  t.test(`copy: all of goroutines that moved is copied as it is in the stop (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell), {
      args: ['-mixed', '-n', String(GOROUTINES), '-spin', '2'],
      env: { GODEBUG: 'tracebackancestors=5' },
    });
    const objects = parseObjects(/^objects (.*)$/m.exec(program.stdout)?.[1] ?? '');
    const target = new LiveProcess(program.pid, 'stop');
    t.teardown(() => target.close());
    const surveyed = surveyLive(target, NO_DEBUG_INFO);
    const wrong: string[] = [];
    const counts = { compared: 0, waiting: 0, moved: 0, labelled: 0, withAncestors: 0 };
    for (let plans = 0; plans < PLANS; plans++) {
      const [plan] = planLive(surveyed, target);
      if (plan === undefined) throw new Error('no plan');
      const copy = new Copy(plan, target);
      for (let stops = 0; stops < STOPS_A_PLAN; stops++) {
        copy.readAhead();
        const { value: truth } = withStopped(
          program.pid,
          { arch: target.arch, timeoutMs: 60_000, hardLimitSeconds: 90 },
          () => {
            copy.readStopped([]);
            return lookAt(plan.program.over(target.contents()));
          },
        );
        const { records, stacks, stored, queues } = copy.contents;
        // The program's code and constants are read from the process: they never change.
        const constant = target.contents();
        const readOnly = constant.mappings.filter(({ writable }) => !writable);
        const fixed = readOnly.flatMap(({ start, end, path, readable }) =>
          readable && path.startsWith('/') ? [{ addr: start, bytes: constant.memory.bytes(start, end - start) }] : [],
        );
        const source = new LayeredSource([
          new SegmentSource([...records, ...stacks, ...queues]),
          stored,
          new SegmentSource(fixed),
        ]);
        const mine = lookAt(plan.program.over({ memory: new Memory(source) }));
        counts.moved += plan.stackPlan.goroutines.length - copy.keptAhead;
        for (const [at, { text, g, waitsIn, labels }] of truth) {
          counts.compared++;
          if (mine.get(at)?.text !== text) wrong.push(`${mine.get(at)?.text ?? 'nothing'} is in truth ${text}`);
          if (g.ancestors !== 0) counts.withAncestors++;
          const own = objects.get(labels['pair'] ?? '');
          if (own === undefined) continue;
          counts.labelled++;
          // Those that have just ended their start, or wait for a goroutine that they have started, wait for something else.
          const isOwn = waitsIn.map((at) => own.some(({ lo, hi }) => at >= lo && at < hi));
          if (isOwn.includes(true)) counts.waiting++;
          if (isOwn.includes(true) && isOwn.includes(false))
            wrong.push(`goroutine ${g.goid} waits for what is not its own`);
        }
        t.equal(mine.size, truth.size, 'every goroutine is there');
      }
    }
    t.same(wrong.slice(0, 3), []);
    t.comment(JSON.stringify(counts));
    // How many wait, or have moved, at a moment is up to the program's scheduler: none would mean that nothing was compared.
    for (const [what, count] of Object.entries(counts)) t.ok(count > 0, `${what}: ${count}`);
  });
}
