import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { writeSnapshot } from '../../../snapshots/gsp/write.js';
import { readByTheBook } from '../../support/independent-reader.js';
import { random, someFacts, someSegment, temporaryFolder } from '../../support/gsp.js';

t.test('gsp: a reader written from docs/format.md alone finds everything', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(11);
  const groups = [
    [someSegment(next, 0x600000, 1_500_000, 7), someSegment(next, 0x500000, 10), someSegment(next, 0x500010, 10)],
    [someSegment(next, 2 ** 47 - 300, 300)],
  ];
  const facts = someFacts();
  await writeSnapshot(path, { image: facts, memory: groups });

  const read = readByTheBook(readFileSync(path));
  t.strictSame(read.objects, ['header', 'facts', 'memory', 'memory', 'memory', 'index', 'trailer']);
  t.match(read.header, { format: 'gospy', version: 1, writer: facts.capture.writer, arch: facts.arch });

  // The format allows any msgpack number type, so numbers are compared by their digits.
  t.strictSame(asJson(read.facts), asJson(plainFacts()));
  for (const { addr, bytes } of groups.flat()) {
    const got = Buffer.concat(
      read.memory
        .filter(({ lo, bytes: part }) => lo >= addr && lo + part.length <= addr + bytes.length)
        .sort((a, b) => a.lo - b.lo)
        .map(({ bytes: part }) => part),
    );
    t.equal(Buffer.compare(got, bytes), 0, `segment at ${addr}`);
  }
});

/** Returns the facts in the form that docs/format.md describes. */
function plainFacts(): unknown {
  const { threads, structs, ...facts } = someFacts();
  return {
    ...facts,
    structs: [...structs].map(([name, { sizeBytes, fields }]) => ({
      ...{ name, sizeBytes },
      fields: Object.entries(fields).map(([field, offset]) => ({ name: field, offset })),
    })),
    threads: threads.map((thread) => ({
      ...thread,
      registers: thread.registers === null ? null : Buffer.from(thread.registers.bytes),
      native: thread.native ?? null,
    })),
  };
}

/** Turns bytes into hex and numbers of any width into digits, so that values can be compared. */
function asJson(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asJson(item)]));
}
