import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { addr } from '../../../snapshots/address.js';
import { ExitCode, GospyError } from '../../../snapshots/errors.js';
import { packFacts } from '../../../snapshots/gsp/facts.js';
import { Limit } from '../../../snapshots/gsp/format.js';
import { pack, unpack } from '../../../snapshots/gsp/msgpack.js';
import { RangeWriter } from '../../../snapshots/gsp/ranges.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { verifySnapshot } from '../../../snapshots/gsp/verify.js';
import { forge, HONEST_FACTS, type ForgedSection } from '../../support/forged-gsp.js';
import { random, someFacts, temporaryFolder } from '../../support/gsp.js';

const BAD = { name: 'GospyError', exitCode: ExitCode.badFile };

/** Makes a memory section with these ranges. */
function memory(raw: Uint8Array, ranges: [number, number][], more: Partial<ForgedSection> = {}): ForgedSection {
  const writer = new RangeWriter();
  for (const [lo, hi] of ranges) writer.add(lo, hi);
  return { name: 'memory', raw, ...more, entry: { ranges: Buffer.from(writer.finish()), ...more.entry } };
}

t.test('gsp: forged files that are valid can be read', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  forge(path, {
    sections: [
      HONEST_FACTS,
      memory(Buffer.from('abcd'), [
        [16, 18],
        [4, 6],
      ]),
    ],
  });
  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  t.equal(snapshot.memory.string(addr(4), 2), 'cd');
  t.equal(snapshot.memory.string(addr(16), 2), 'ab');
  t.strictSame(verifySnapshot(path).problems, []);
  t.end();
});

t.test('gsp: unknown fields and sections are skipped', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const facts = unpack(HONEST_FACTS.raw, 1000) as Record<string, unknown>;
  forge(path, {
    header: { later: [1, 2] },
    sections: [
      { name: 'later', raw: Buffer.from('anything'), object: { encoding: 'of a later day' }, entry: { more: 1 } },
      { name: 'facts', raw: pack({ ...facts, later: { deep: true } }), object: { more: null } },
    ],
  });
  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  t.equal(snapshot.pid, 4711);
  const check = verifySnapshot(path);
  t.strictSame(check.problems, []);
  t.strictSame(
    check.sections.map(({ name }) => name),
    ['header', 'later', 'facts', 'index', 'trailer'],
  );
  t.end();
});

t.test('gsp: a newer format is refused, naming both versions', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  forge(path, { header: { version: 7, writer: '9.9.9' }, sections: [] });
  for (const read of [openSnapshot, verifySnapshot]) {
    t.throws(() => read(path), { ...BAD, message: /format version 7, written by gospy 9\.9\.9.*up to 1/ });
  }
  t.end();
});

t.test('gsp: a CPU that only a newer gospy knows is unsupported', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const facts = unpack(HONEST_FACTS.raw, 1000) as Record<string, unknown>;
  forge(path, { header: { arch: 'riscv64' }, sections: [{ name: 'facts', raw: pack({ ...facts, arch: 'riscv64' }) }] });
  t.throws(() => openSnapshot(path), { exitCode: ExitCode.unsupported, message: /riscv64/ });
  forge(path, { header: { arch: 'arm64' }, sections: [HONEST_FACTS] });
  t.throws(() => openSnapshot(path), { ...BAD, message: /header says arm64 and its facts amd64/ });
  t.end();
});

t.test('gsp: an impossible index is refused', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const two = Buffer.from('ab');
  const bad: Record<string, ForgedSection[]> = {
    'no facts': [],
    'ranges that overlap': [HONEST_FACTS, memory(two, [[100, 102]]), memory(two, [[101, 103]])],
    'a range twice': [
      HONEST_FACTS,
      memory(two, [
        [100, 101],
        [100, 101],
      ]),
    ],
    'a range inside another': [HONEST_FACTS, memory(Buffer.alloc(10), [[100, 110]]), memory(two, [[104, 106]])],
    'fewer ranges than bytes': [HONEST_FACTS, memory(two, [[100, 101]])],
    'more ranges than bytes': [HONEST_FACTS, memory(two, [[100, 104]])],
    'an empty range': [HONEST_FACTS, memory(two, [], { entry: { ranges: Buffer.from([200, 1, 0]) } })],
    'half a range': [HONEST_FACTS, memory(two, [], { entry: { ranges: Buffer.from([2]) } })],
    'a number that does not end': [HONEST_FACTS, memory(two, [], { entry: { ranges: Buffer.alloc(20, 0xff) } })],
    'a range below zero': [HONEST_FACTS, memory(two, [], { entry: { ranges: Buffer.from([3, 2]) } })],
    'a range above all addresses': [
      HONEST_FACTS,
      memory(two, [], { entry: { ranges: Buffer.from([255, 255, 255, 255, 255, 255, 255, 127, 2]) } }),
    ],
    'ranges that are not bytes': [HONEST_FACTS, memory(two, [], { entry: { ranges: [1, 2] } })],
    'no ranges': [HONEST_FACTS, { name: 'memory', raw: two }],
    'an offset before the end of the last section': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { offset: 0 } })],
    'a length past the end of the file': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { length: 2 ** 40 } })],
    'a negative length': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { length: -1 } })],
    'a fractional length': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { length: 1.5 } })],
    'a length above 2^53': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { length: 2n ** 62n } })],
    'a digest that is text': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { sha256: 'no' } })],
    'a section that is a number': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { name: 5 } })],
    'memory larger than allowed': [HONEST_FACTS, memory(two, [[1, 3]], { entry: { rawBytes: Limit.memory + 1 } })],
  };
  for (const [name, sections] of Object.entries(bad)) {
    forge(path, { sections });
    t.throws(() => openSnapshot(path), BAD, name);
    t.notOk(verifySnapshot(path).ok, name);
  }
  const indexes: Record<string, Uint8Array> = {
    'not a map': pack([1]),
    'no sections': pack({}),
    'sections that are not a list': pack({ sections: { a: 1 } }),
    'an array of four billion': Buffer.from('81a873656374696f6e73ddffffffff', 'hex'),
    'a map of four billion': Buffer.from('dfffffffff', 'hex'),
    'text of four billion bytes': Buffer.from('81a873656374696f6e73dbffffffff', 'hex'),
    'bytes of four billion': Buffer.from('81a873656374696f6e73c6ffffffff00', 'hex'),
    'millions of values': Buffer.concat([
      Buffer.from('81a873656374696f6e73dd00800000', 'hex'),
      Buffer.alloc(0x800000, 0xc0),
    ]),
    'arrays in arrays': Buffer.alloc(100_000, 0x91),
    'an extension type': Buffer.from('81a873656374696f6e73d40000', 'hex'),
    'an unused type byte': Buffer.from('c1', 'hex'),
    'a number as a key': Buffer.from('8101c0', 'hex'),
    nothing: Buffer.alloc(0),
    'two objects': Buffer.concat([pack({ sections: [] }), pack(1)]),
  };
  for (const [name, index] of Object.entries(indexes)) {
    forge(path, { sections: [HONEST_FACTS], index });
    t.throws(() => openSnapshot(path), { ...BAD, message: /index section at offset \d+/ }, name);
  }
  t.end();
});

t.test('gsp: memory that contradicts the index is absent', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const raw = Buffer.alloc(100, 7);
  const ranges: [number, number][] = [[0x1000, 0x1000 + 100]];
  const bad: Record<string, Record<string, unknown>> = {
    'more bytes than it says': { data: deflateRawSync(Buffer.alloc(Limit.memory)) },
    'fewer bytes than it says': { data: deflateRawSync(Buffer.alloc(99)) },
    'no deflate stream': { data: Buffer.alloc(100, 0xff) },
    'half a deflate stream': { data: deflateRawSync(raw).subarray(0, 3) },
    'another size than the index': { rawBytes: 99 },
    'another section': { section: 'facts' },
    'another encoding': { encoding: 'brotli' },
    'text as data': { data: 'text' },
  };
  for (const [name, object] of Object.entries(bad)) {
    forge(path, { sections: [HONEST_FACTS, memory(raw, ranges, { object })] });
    const snapshot = openSnapshot(path);
    t.throws(
      () => snapshot.memory.u8(addr(0x1000)),
      { name: 'MemoryFault', message: /memory section at offset/ },
      name,
    );
    t.equal(snapshot.damage.length, 1, name);
    snapshot.close();
    t.equal(verifySnapshot(path).problems.length, 1, name);
  }
  t.end();
});

/** Fields that may be missing in older files, by docs/format.md. */
const MAY_BE_MISSING = new Set([
  ...['facts without structs', 'facts without signal'],
  ...['facts.capture without lateThreads', 'facts.capture without longestLateNs'],
  ...[0, 1].map((i) => `facts.threads[${i}] without native`),
]);

t.test('gsp: facts in which any field has the wrong type are refused', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const wrong: string[] = [];
  let tried = 0;
  const facts = unpack(packFacts(someFacts()), 1000);
  for (const changed of withOneWrong(facts)) {
    if (MAY_BE_MISSING.has(changed.what)) continue;
    tried++;
    forge(path, { sections: [{ name: 'facts', raw: pack(changed.value) }] });
    try {
      openSnapshot(path).close();
      wrong.push(changed.what);
    } catch (error) {
      if (!(error instanceof GospyError) || error.exitCode !== ExitCode.badFile)
        wrong.push(`${changed.what}: ${String(error)}`);
    }
  }
  t.strictSame(wrong, []);
  t.ok(tried > 60, `${tried} fields tried`);
  t.end();
});

t.test('gsp: work in which a field has the wrong type is refused once it is asked for, and a check finds it', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const one = { kind: 'file', text: 'fd 1 /a', sure: true, since: null, group: 'fd 1 /a' };
  const work = { level: 'full', goroutines: [{ g: 64, work: [one] }] };
  for (const { what, value } of [{ what: 'nothing', value: work }, ...withOneWrong(work, 'work')]) {
    const isWrong = value !== work;
    forge(path, { sections: [HONEST_FACTS, { name: 'work', raw: pack(value) }] });
    const snapshot = openSnapshot(path);
    const read = (): unknown => snapshot.work?.byG.get(64);
    if (isWrong) t.throws(read, BAD, what);
    else t.strictSame(read(), [one]);
    snapshot.close();
    t.equal(verifySnapshot(path).problems.length, isWrong ? 1 : 0, what);
  }
  t.end();
});

t.test('gsp: facts with random bytes are either refused or read', (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const next = random(99);
  const wrong: string[] = [];
  for (let round = 0; round < 1500; round++) {
    const raw = Buffer.from(HONEST_FACTS.raw);
    for (let i = next(4); i >= 0; i--) raw[next(raw.length)] = next(256);
    forge(path, { sections: [{ name: 'facts', raw }] });
    try {
      openSnapshot(path).close();
    } catch (error) {
      if (!(error instanceof GospyError)) wrong.push(`${round}: ${String(error)}`);
    }
  }
  t.strictSame(wrong, []);
  t.end();
});

/** Yields copies of a decoded value, in each of which one value has the wrong type or one field is missing. */
function* withOneWrong(value: unknown, what = 'facts'): Generator<{ what: string; value: unknown }> {
  yield { what, value: typeof value === 'object' ? true : { wrong: 1 } };
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      for (const { what: at, value: changed } of withOneWrong(item, `${what}[${i}]`)) {
        yield { what: at, value: value.with(i, changed) };
      }
    }
  } else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
    for (const [key, item] of Object.entries(value)) {
      const without = Object.fromEntries(Object.entries(value).filter(([other]) => other !== key));
      yield { what: `${what} without ${key}`, value: without };
      for (const { what: at, value: changed } of withOneWrong(item, `${what}.${key}`)) {
        yield { what: at, value: { ...value, [key]: changed } };
      }
    }
  }
}
