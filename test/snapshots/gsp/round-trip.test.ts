import { statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addr } from '../../../snapshots/address.js';
import { Limit, type SectionEntry } from '../../../snapshots/gsp/format.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { verifySnapshot } from '../../../snapshots/gsp/verify.js';
import { writeSnapshot } from '../../../snapshots/gsp/write.js';
import { Memory, MemoryFault, SegmentSource, type Segment } from '../../../snapshots/memory.js';
import { random, someFacts, someSegment, temporaryFolder, type Random } from '../../support/gsp.js';

t.test('gsp: the facts are read back as they were written', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const facts = someFacts();
  const { bytesWritten } = await writeSnapshot(path, { image: facts, memory: [] });
  t.equal(statSync(path).size, bytesWritten);
  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  const { arch, pid, threads, mappings, executable, host, capture, structs, signal } = snapshot;
  const { threads: givenThreads, ...given } = facts;
  t.strictSame({ arch, pid, mappings, executable, host, capture, structs, signal }, given);
  t.strictSame(
    threads.map(({ registers: _, ...rest }) => rest),
    givenThreads.map(({ registers: _, ...rest }) => rest),
  );
  t.equal(threads[0]?.registers?.get('rip'), givenThreads[0]?.registers?.get('rip'));
  t.equal(threads[1]?.registers, null);
  t.equal(snapshot.kind, 'snapshot');
  t.strictSame([...snapshot.memory.ranges(addr(0), addr(2 ** 50))], []);
});

t.test('gsp: what was proved about leaks is read back, and a column that does not fit is damage', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const leaks = {
    gs: Float64Array.of(0xc000000180, 0xc000002000, 2 ** 47),
    outcomes: Uint8Array.of(0, 3, 2),
    from: Float64Array.of(0, 0xc000000180, 0x5a0018),
    names: new Map([[0x5a0018, 'main.sessions']]),
  };
  await writeSnapshot(path, { image: { ...someFacts(), leaks }, memory: [] });
  const snapshot = openSnapshot(path);
  t.same(snapshot.leaks, leaks);
  snapshot.close();
  t.ok(verifySnapshot(path).ok);
  const unequal = { ...leaks, outcomes: Uint8Array.of(0) };
  await writeSnapshot(path, { image: { ...someFacts(), leaks: unequal }, memory: [] });
  t.throws(() => openSnapshot(path), /is damaged in its leaks section/);
  t.notOk(verifySnapshot(path).ok);
});

t.test('gsp: memory is read back byte for byte, whatever its layout', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  for (let seed = 1; seed <= 60; seed++) {
    const groups = someGroups(random(seed));
    await writeSnapshot(path, { image: someFacts(), memory: groups });
    const snapshot = openSnapshot(path);
    const expected = new Memory(new SegmentSource(groups.flat()));
    t.strictSame(contentOf(snapshot.memory), contentOf(expected), `seed ${seed}`);
    t.strictSame(snapshot.damage, []);
    snapshot.close();
    t.ok(verifySnapshot(path).ok);
  }
});

t.test('gsp: segments larger than a section are split and read as one', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(3);
  const small = someSegment(next, 0x10000, 100);
  const large = someSegment(next, 0x200000, 2 * Limit.chunk + 5, 16);
  const after = someSegment(next, 0x200000 + 2 * Limit.chunk + 5, 7);
  await writeSnapshot(path, { image: someFacts(), memory: [[small, large, after]] });
  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  const both = Buffer.concat([large.bytes, after.bytes]);
  t.equal(Buffer.compare(snapshot.memory.bytes(large.addr, both.length), both), 0);
  t.equal(Buffer.compare(snapshot.memory.bytes(small.addr, 100), small.bytes), 0);
  t.throws(() => snapshot.memory.u8(addr(0x10000 + 100)), MemoryFault);
});

t.test('gsp: groups do not share sections', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(4);
  const groups = [0, 1, 2, 3].map((i) => [
    someSegment(next, 0x10000 * (i + 1), 50),
    someSegment(next, 0x10000 * (i + 1) + 500, 9),
  ]);
  await writeSnapshot(path, { image: someFacts(), memory: [...groups, []] });
  const { chunks, memoryBytes, sections, problems } = verifySnapshot(path);
  t.strictSame(problems, []);
  t.equal(chunks, 4);
  t.equal(memoryBytes, 4 * 59);
  t.strictSame(
    sections.map(({ name, count }) => [name, count]),
    [
      ['header', 1],
      ['facts', 1],
      ['memory', 4],
      ['index', 1],
      ['trailer', 1],
    ],
  );
  t.equal(
    sections.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    statSync(path).size,
  );
});

/** A snapshot of 12 sections of 1000 bytes, read with a cache of some size; and how often sections were read so far. */
async function readWithCache(
  t: Test,
  kept: { whole: number; first: number; most: number },
): Promise<{ read: (section: number, offset: number) => void; readings: () => number }> {
  const { Container } = await import('../../../snapshots/gsp/container.js');
  const { SnapshotSource } = await import('../../../snapshots/gsp/source.js');
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(5);
  const segments = Array.from({ length: 12 }, (_, i) => someSegment(next, 0x10000 * (i + 1), 1000));
  await writeSnapshot(path, { image: someFacts(), memory: segments.map((segment) => [segment]) });
  const file = new Container(path);
  t.teardown(() => file.close());
  let readings = 0;
  const read = (entry: SectionEntry): Uint8Array => {
    readings++;
    return file.read(entry);
  };
  const sections = file.sections.filter(({ name }) => name === 'memory');
  const memory = new Memory(new SnapshotSource(sections, { read }, kept));
  return {
    read: (section, offset) => {
      const segment = segments[section];
      if (segment !== undefined) t.equal(memory.u8(segment.addr, offset), segment.bytes[offset]);
    },
    readings: () => readings,
  };
}

t.test('gsp: all bytes are right if the cache is smaller than the sections that are read', async (t) => {
  const { read, readings } = await readWithCache(t, { whole: 11_999, first: 3000, most: 3000 });
  const next = random(6);
  for (let round = 0; round < 200; round++) read(next(12), next(1000));
  t.ok(readings() > 12, `${readings()} reads of 12 sections`);
});

t.test('gsp: the cache stays small for two passes, and grows when reads come back more often', async (t) => {
  const { read, readings } = await readWithCache(t, { whole: 11_999, first: 3000, most: 12_000 });
  const pass = (): void => {
    for (let section = 0; section < 12; section++) read(section, 7);
  };
  pass();
  pass();
  t.equal(readings(), 24);
  pass();
  const before = readings();
  const next = random(7);
  for (let round = 0; round < 200; round++) read(next(12), next(1000));
  t.equal(readings(), before, 'all is kept');
});

t.test('gsp: a small snapshot is read once, however often reads come back', async (t) => {
  const { read, readings } = await readWithCache(t, { whole: 12_000, first: 3000, most: 3000 });
  const next = random(8);
  for (let round = 0; round < 200; round++) read(next(12), next(1000));
  t.equal(readings(), 12);
});

t.test('gsp: a snapshot with a million ranges can be opened', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const bytes = new Uint8Array(2);
  const segments: Segment[] = Array.from({ length: 1_000_000 }, (_, i) => ({
    addr: addr(0xc000000000 + i * 8),
    bytes,
  }));
  const { bytesWritten } = await writeSnapshot(path, { image: someFacts(), memory: [segments] });
  t.ok(bytesWritten < 1_000_000, `${bytesWritten} bytes`);
  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  t.equal(snapshot.memory.u16(addr(0xc000000000 + 999_999 * 8)), 0);
  t.notOk(snapshot.memory.has(addr(0xc000000000 + 999_998 * 8 + 2), 1));
});

t.test('gsp: memory that was not read before the file is closed is absent', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const segment = someSegment(random(6), 0x1000, 8);
  await writeSnapshot(path, { image: someFacts(), memory: [[segment]] });
  const snapshot = openSnapshot(path);
  snapshot.close();
  snapshot.close();
  t.throws(() => snapshot.memory.u8(segment.addr), { name: 'MemoryFault', message: /closed/ });
});

/** Makes groups of segments: apart, touching, overlapping or empty, in random order. */
function someGroups(next: Random): Segment[][] {
  return Array.from({ length: next(5) }, () =>
    Array.from({ length: next(20) }, () => {
      const base = [0, 0x400000, 0xc000000000, 2 ** 47 - 4096, 2 ** 52 - 4096][next(5)] ?? 0;
      return someSegment(next, base + next(3000), next(10) === 0 ? 0 : next(400), 1 + next(256));
    }),
  );
}

/** Returns the content of each run of known bytes. */
function contentOf(memory: Memory): [number, string][] {
  const runs: [number, number][] = [];
  for (const { lo, hi } of memory.ranges(addr(0), addr(2 ** 53 - 2))) {
    const last = runs[runs.length - 1];
    if (last?.[1] === lo) last[1] = hi;
    else runs.push([lo, hi]);
  }
  return runs.map(([lo, hi]) => [lo, Buffer.from(memory.bytes(addr(lo), hi - lo)).toString('hex')]);
}
