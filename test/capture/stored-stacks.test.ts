import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { Copy } from '../../capture/copy/copy.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { StoredStacks } from '../../capture/copy/stored-stacks.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { readMappings } from '../../capture/process/procfs.js';
import { addr, type Addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { ReadyChunk } from '../../snapshots/gsp/ready-chunk.js';
import { verifySnapshot } from '../../snapshots/gsp/verify.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { Memory } from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { someFacts, temporaryFolder } from '../support/gsp.js';

const GOROUTINES = 3000;

/** The bytes as the kernel gives them. */
function inProcess(pid: number, { lo, hi }: { lo: Addr; hi: Addr }): Buffer {
  const memory = new LiveProcess(pid, 'read');
  try {
    return Buffer.from(memory.memory().bytes(lo, hi - lo));
  } finally {
    memory.close();
  }
}

for (const [how, plainBytes, packing] of [
  ['plain', Infinity, 'if many'],
  ['packed, since they are many', 0, 'if many'],
  ['packed for a file, and plain', Infinity, 'always'],
] as const) {
  t.test(`stored stacks: hold what the process has, ${how}`, async (t) => {
    if (!requireGo(t)) return;
    const executable = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
    const { pid } = await startGo(t, executable, { args: ['-n', String(GOROUTINES)] });
    const target = new LiveProcess(pid, 'read');
    t.teardown(() => target.close());
    const surveyed = surveyLive(target, NO_DEBUG_INFO);
    const [plan] = planLive(surveyed, target);
    if (plan === undefined) throw new Error('no plan');
    const { stackPlan } = plan;
    const records = target.reader(plan.records);
    records.read();
    const view = new DataView(records.bytes.buffer, records.bytes.byteOffset, records.bytes.byteLength);
    const passedOver = new Uint8Array(stackPlan.goroutines.length);
    stackPlan.remember(view);
    stackPlan.compare(view, passedOver);
    const stored = new StoredStacks(stackPlan, target, plainBytes);
    await stored.fillPacked(view, passedOver, packing, { isWanted: () => true, look: () => undefined });

    const memory = new Memory(stored);
    const held = [...stored.owners()];
    t.ok(held.length >= GOROUTINES, `${held.length} stacks are held`);
    const stacks = held.map((owner) => {
      const range = stackPlan.stackInUse(owner, view);
      if (range === null) throw new Error('a stack that is held is not in use');
      return range;
    });
    t.strictSame(
      stacks,
      [...stacks].sort((a, b) => a.lo - b.lo),
      'in the order of the stacks',
    );
    const writable = readMappings(pid, pid).filter((mapping) => mapping.writable);
    t.ok(stacks.every(({ lo, hi }) => writable.some(({ start, end }) => lo >= start && hi <= end)));
    const all = target.memory();
    const differ = stacks.filter(
      ({ lo, hi }) => Buffer.compare(memory.bytes(lo, hi - lo), all.bytes(lo, hi - lo)) !== 0,
    );
    t.strictSame(differ, [], 'all bytes are those of the process');

    const [first, second, third] = stacks;
    if (first === undefined || second === undefined || third === undefined) throw new Error('no stacks');
    const dropped = new Uint8Array(passedOver.length);
    dropped[held[0] ?? 0] = 1;
    stored.drop(dropped);
    t.equal(memory.has(first.lo, 1), false, 'a stack that moved is not held any more');
    const evicted = stored.evict(new Runs([{ lo: addr(second.lo + 8), hi: addr(second.lo + 9) }], 0));
    t.strictSame(
      evicted.map(({ addr, bytes }) => [addr, Buffer.from(bytes)]),
      [[second.lo, inProcess(pid, second)]],
    );
    t.equal(memory.has(second.lo, 1), false);

    const groups = [...stored.groups()];
    t.ok(groups.length > 1 && groups.slice(1).every((group) => group instanceof ReadyChunk));
    t.equal(
      groups.slice(1).every((group) => group instanceof ReadyChunk && (group.packed !== null) === (how !== 'plain')),
      true,
    );
    const path = join(temporaryFolder(t), 'stacks.gsp');
    // Of what is there twice, the first counts: the ready chunk that has the third stack is taken apart.
    const other = { addr: third.lo, bytes: new Uint8Array(16).fill(7) };
    await writeSnapshot(path, { image: someFacts(), memory: [[other], ...groups] });
    t.strictSame(verifySnapshot(path).problems, []);
    const snapshot = openSnapshot(path);
    t.teardown(() => snapshot.close());
    t.equal(snapshot.memory.has(first.lo, first.hi - first.lo), false);
    t.strictSame(snapshot.memory.bytes(third.lo, 16), other.bytes);
    const lost = stacks
      .slice(3)
      .filter(({ lo, hi }) => Buffer.compare(snapshot.memory.bytes(lo, hi - lo), all.bytes(lo, hi - lo)) !== 0);
    t.strictSame(lost, [], 'the others are in the file');
    t.ok(readFileSync(path).length < stored.sizeBytes);
  });
}

t.test('stored stacks: a copy gives up those of goroutines that it reads again', async (t) => {
  if (!requireGo(t)) return;
  const executable = await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' });
  const { pid } = await startGo(t, executable);
  const target = new LiveProcess(pid, 'stop');
  t.teardown(() => target.close());
  const [plan] = planLive(surveyLive(target, NO_DEBUG_INFO), target);
  if (plan === undefined) throw new Error('no plan');
  const copy = new Copy(plan, target);
  await copy.prepare('always');
  copy.readAhead();
  copy.readStopped([]);
  const { stored, stacks } = copy.contents;
  const again = new Set(stacks.map((segment) => segment.addr));
  t.ok(stacks.length > 0 && again.size === stacks.length, `${stacks.length} runs of stacks were read again`);
  const held = new Set(stored.owners());
  t.ok(held.size > 0 && held.size < plan.stackPlan.goroutines.length, `${held.size} stacks are held`);
});
