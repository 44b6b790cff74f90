import { openSync, readSync, closeSync } from 'node:fs';
import t from 'tap';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { LateReads } from '../../capture/copy/late-reads.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { RunSource } from '../../capture/copy/run-source.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { Slab } from '../../capture/process/slab.js';
import { RangeList } from '../../snapshots/runs.js';
import { buildGo, requireGo, startGo } from '../support/go.js';

/** What a walk looks at, in bytes, and how far from the end of a mapping. */
const ITEM = 96;
const NEAR = 16;

/** The bytes as the kernel gives them. */
function inProcess(pid: number, at: number, length: number): string {
  const bytes = Buffer.alloc(length);
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return readSync(fd, bytes, 0, length, at) === length ? bytes.toString('hex') : 'short';
  } finally {
    closeSync(fd);
  }
}

t.test('late reads: an item that reaches into absent memory takes no other with it', async (t) => {
  if (!requireGo(t)) return;
  const executable = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  const { pid } = await startGo(t, executable, { args: ['-n', '100'] });
  const target = new LiveProcess(pid, 'read');
  t.teardown(() => target.close());
  const surveyed = surveyLive(target, NO_DEBUG_INFO);
  const [plan] = planLive(surveyed, target);
  if (plan === undefined) throw new Error('no plan');
  const records = new RunSource(plan.records, target.reader(plan.records).bytes);
  const mappings = target.currentMappings().filter(({ readable, path }) => readable && !path.startsWith('['));
  const isReadable = (at: number): boolean => mappings.some(({ start, end }) => at >= start && at < end);
  const begin = mappings.filter(({ start }) => !isReadable(start - 1)).map(({ start }) => start);
  const end = mappings.filter((mapping) => !isReadable(mapping.end)).map((mapping) => mapping.end);
  t.ok(begin.length > 0 && end.length > 0, `${begin.length} mappings begin behind a gap, ${end.length} end before one`);

  const late = new LateReads(plan, target, records, null, new Slab());
  const missing = new RangeList();
  const [there, absent]: [number[], number[]] = [[], []];
  for (const start of begin) {
    there.push(start, start + ITEM + NEAR);
    absent.push(start - NEAR);
  }
  for (const last of end) {
    there.push(last - ITEM, last - 2 * ITEM - NEAR);
    absent.push(last - NEAR);
  }
  for (const at of [...there, ...absent]) missing.add(at, at + ITEM);
  late.readForWalk(missing);
  const found = (at: number): string => {
    const offset = late.batches.find(at, ITEM);
    const { buffer, byteOffset } = offset < 0 ? new DataView(new ArrayBuffer(0)) : late.batches.view;
    return offset < 0 ? 'missing' : Buffer.from(buffer, byteOffset + offset, ITEM).toString('hex');
  };
  for (const at of there) t.equal(found(at), inProcess(pid, at, ITEM), `0x${at.toString(16)} is copied`);
  for (const at of absent) t.equal(found(at), 'missing', `0x${at.toString(16)} is not`);
});
