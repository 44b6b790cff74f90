import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import type { GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { summarize } from '../../analyze/report/summary.js';
import { listThreads } from '../../analyze/report/threads.js';
import { captureToImage } from '../../capture/capture.js';
import { ADDR_LIMIT, addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { programsIn } from '../../src/targets/live.js';
import { openTarget } from '../../src/targets/open-target.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { random, someSegment, temporaryFolder } from '../support/gsp.js';
import type { Cell } from '../support/releases.js';

const SAMPLE = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));

/** All that reports say of a program, apart from what kind of target it is. */
function answersOf(program: GoProgram): object {
  const goroutines = [...listGoroutines(program, 'stack')];
  const { target, ...summary } = summarize(program).value;
  return { goroutines, summary, target: { ...target, kind: null }, threads: listThreads(program) };
}

t.test('targets: any number of files may be open at once', async (t) => {
  const targets = await Promise.all([1, 2, 3].map(() => openTarget({ file: SAMPLE })));
  const [first, ...others] = targets.map(({ programs }) => answersOf(programs[0]));
  for (const other of others) t.same(other, first);
  for (const [i, target] of targets.entries()) {
    t.same(target.warnings, []);
    t.same(target.damage, []);
    target.close();
    const next = targets[i + 1];
    if (next !== undefined) t.same(answersOf(next.programs[0]), first, 'the others stay open');
  }
});

t.test('targets: damage is listed once the damaged memory is read', async (t) => {
  const sample = openSnapshot(SAMPLE);
  const known = [...sample.memory.ranges(addr(0), addr(ADDR_LIMIT - 1))];
  const segments = known.map(({ lo, hi }) => ({ addr: lo, bytes: sample.memory.bytes(lo, hi - lo) }));
  const unused = someSegment(random(1), 0x10000, 4096);
  const file = join(temporaryFolder(t), 'damaged.gsp');
  await writeSnapshot(file, { image: sample, memory: [segments, [unused]] });
  sample.close();
  // Random bytes are not compressed: they stand in the file as they are.
  const bytes = readFileSync(file);
  const at = bytes.indexOf(unused.bytes.subarray(1000, 1100));
  t.ok(at > 0);
  bytes.fill(0, at, at + 100);
  writeFileSync(file, bytes);

  const target = await openTarget({ file });
  t.teardown(() => target.close());
  const [program] = target.programs;
  t.ok([...program.goroutines()].length > 0);
  t.same(target.damage, []);
  t.throws(() => program.memory.u8(unused.addr), { name: 'MemoryFault' });
  t.match(target.damage, [/damaged/]);
});

t.test('targets: opening gives up when the signal is aborted', async (t) => {
  const reason = new Error('changed my mind');
  await t.rejects(openTarget({ file: SAMPLE }, { signal: AbortSignal.abort(reason) }), reason);
  const packed = join(temporaryFolder(t), 'core.gz');
  writeFileSync(packed, gzipSync(Buffer.alloc(1 << 20)));
  const controller = new AbortController();
  const unpacking: string[] = [];
  const progress = (doing: string): void => {
    unpacking.push(doing);
    controller.abort(reason);
  };
  await t.rejects(openTarget({ file: packed }, { progress, signal: controller.signal }), reason);
  t.same(unpacking, [`unpacking ${packed}`]);
  t.same(
    readdirSync(tmpdir()).filter((name) => name.startsWith(`gospy-${process.pid}-`) && name.endsWith('.core')),
    [],
    'no temporary file is left',
  );
});

const CELLS: readonly Cell[] = [
  { fixture: 'park', release: '1.26', link: 'stripped' },
  { fixture: 'spin', release: '1.26', link: 'cgo' },
  { fixture: 'flow', release: '1.26', link: 'plain' },
];

t.test('targets: a live target gives the answers of its snapshot', async (t) => {
  if (!requireGo(t)) return;
  for (const cell of CELLS) {
    const { pid } = await startGo(t, await buildGo(cell));
    const captured = await captureToImage(pid, { mode: 'stop', writer: 'test' });
    const file = join(temporaryFolder(t), 'snap.gsp');
    await writeSnapshot(file, { image: captured.image, memory: captured.groups });
    const target = await openTarget({ file });
    const [program] = target.programs;
    t.ok(isDeepStrictEqual(answersOf(programsIn(captured)[0]), answersOf(program)), cell.fixture);
    target.close();
  }
});

t.test('targets: a process can be opened twice, beside its snapshot, and its capture can be aborted', async (t) => {
  if (!requireGo(t)) return;
  const { pid } = await startGo(t, await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
  const first = await openTarget({ pid });
  const second = await openTarget({ pid });
  const goids = ({ programs: [program] }: typeof first): number[] => [...program.goroutines()].map(({ goid }) => goid);
  t.same(goids(second), goids(first));
  t.ok(goids(first).length > 0);
  first.close();
  t.same(goids(second), goids(first), 'captured memory needs no open file');
  second.close();
  const reason = new Error('changed my mind');
  const controller = new AbortController();
  const progress = (): void => controller.abort(reason);
  await t.rejects(openTarget({ pid }, { progress, signal: controller.signal }), reason);
});
