import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { addr } from '../../../snapshots/address.js';
import { Container } from '../../../snapshots/gsp/container.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../../snapshots/gsp/write.js';
import type { Segment } from '../../../snapshots/memory.js';
import { random, someFacts, someSegment, temporaryFolder } from '../../support/gsp.js';

const COUNT = 200;
/** How long a thread that has not begun is given, section by section. */
const PAUSE_MS = 250;

/** A snapshot with a section for each segment. */
async function writeMany(t: Test): Promise<{ path: string; segments: readonly Segment[] }> {
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(9);
  const segments = Array.from({ length: COUNT }, (_, i) => someSegment(next, 0x10000 * (i + 1), 3000));
  await writeSnapshot(path, { image: someFacts(), memory: segments.map((segment) => [segment]) });
  return { path, segments };
}

function addressesOf(segments: readonly Segment[]): Float64Array {
  return Float64Array.from(segments, ({ addr }) => addr);
}

t.test('read ahead: in any order, expected or not, memory is what was written', async (t) => {
  const { path, segments } = await writeMany(t);
  const next = random(10);
  const orders = [
    segments,
    segments.toReversed(),
    segments.filter((_, i) => i % 3 === 0),
    segments.map(() => segments[next(COUNT)] ?? someSegment(next, 0, 1)),
  ];
  const wrong: number[] = [];
  for (const expected of orders) {
    for (const read of orders) {
      const snapshot = openSnapshot(path);
      const { memory } = snapshot;
      memory.source.expect?.(addressesOf(expected));
      for (const [i, { addr, bytes }] of read.entries()) {
        if (Buffer.compare(memory.bytes(addr, bytes.length), bytes) !== 0) wrong.push(addr);
        // Gives the thread time to get ahead.
        if (i % 50 === 0) await setTimeout(5);
      }
      t.same(snapshot.damage, []);
      snapshot.close();
    }
  }
  t.same(wrong, []);
});

t.test('read ahead: what the thread sends is the verified content of the section', async (t) => {
  const { path } = await writeMany(t);
  const file = new Container(path);
  t.teardown(() => file.close());
  const sections = file.sections.filter(({ name }) => name === 'memory');
  const ahead = file.readAhead(sections, [...sections.keys()]);
  let taken = 0;
  for (const [number, section] of sections.entries()) {
    // How soon the thread begins is up to the machine.
    if (taken === 0) await setTimeout(PAUSE_MS);
    const bytes = ahead.take(number);
    if (bytes === null) continue;
    taken++;
    t.equal(Buffer.compare(bytes, file.read(section)), 0);
    t.equal(ahead.take(number), null, 'once');
  }
  t.ok(taken > 0, 'the thread was first with some');
  t.equal(ahead.take(COUNT), null, 'a section that was not asked for');
  ahead.close();
  t.equal(ahead.take(0), null, 'after the end');
});

t.test('read ahead: a damaged section is absent, and reported as without a thread', async (t) => {
  const { path, segments } = await writeMany(t);
  const file = new Container(path);
  const { offset, length } = file.sections.filter(({ name }) => name === 'memory')[COUNT / 2] ?? {
    offset: 0,
    length: 0,
  };
  file.close();
  const bytes = readFileSync(path);
  bytes[offset + length - 2] = (bytes[offset + length - 2] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const damageOf = async (isExpected: boolean): Promise<unknown> => {
    const snapshot = openSnapshot(path);
    if (isExpected) snapshot.memory.source.expect?.(addressesOf(segments));
    await setTimeout(20);
    const absent = segments.flatMap(({ addr, bytes }) => (snapshot.memory.has(addr, bytes.length) ? [] : addr));
    const { damage } = snapshot;
    snapshot.close();
    return { absent, damage };
  };
  const expected = await damageOf(false);
  t.match(expected, { absent: [addr(0x10000 * (COUNT / 2 + 1))], damage: [/SHA-256 does not match/] });
  t.same(await damageOf(true), expected);
});
