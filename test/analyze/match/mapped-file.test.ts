import t from 'tap';
import { matchMappedFile, type MappedFileFacts } from '../../../analyze/match/mapped-file.js';
import { compareBuildIds } from '../../../analyze/match/quick-checks.js';
import { addr } from '../../../snapshots/address.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import type { ProcessImage } from '../../../snapshots/image.js';
import { Memory, SegmentSource, type Segment } from '../../../snapshots/memory.js';
import { elfBytes } from '../../support/elf-bytes.js';
import { random, someFacts, someSegment } from '../../support/gsp.js';

const BIAS = 0x7f0000000000;
const CODE = someSegment(random(1), 0x1000, 8192);
const DATA = someSegment(random(2), 0x8000, 4096);
const file = ElfFile.from(
  'made up',
  elfBytes('amd64', [
    { vaddr: CODE.addr, bytes: CODE.bytes, memSize: 8192, writable: false },
    { vaddr: DATA.addr, bytes: DATA.bytes, memSize: 4096, writable: true },
  ]),
);
const UNKNOWN: MappedFileFacts = { entry: null, base: null, buildId: null, goBuildId: null };
/** The file has no entry point, that is 0: a process that started at the bias had it there. */
const STARTED: MappedFileFacts = { ...UNKNOWN, entry: BIAS };

function imageOf(...segments: Segment[]): ProcessImage {
  return { ...someFacts(), kind: 'core', memory: new Memory(new SegmentSource(segments)) };
}

/** The code in the process, with another byte at `changed` if that is not negative. */
function loadedCode(changed = -1): Segment {
  const bytes = Uint8Array.from(CODE.bytes);
  if (changed >= 0) bytes[changed] = (bytes[changed] ?? 0) ^ 1;
  return { addr: addr(CODE.addr + BIAS), bytes };
}

t.test('mapped file: without build ids, all read-only pages that both have are compared', (t) => {
  const found = matchMappedFile(imageOf(loadedCode()), STARTED, file);
  t.same(found, { same: true, bias: BIAS, proof: 'pages', altered: [] });
  t.match(matchMappedFile(imageOf(loadedCode(5000)), STARTED, file), {
    same: false,
    reason: `its content for 0x${(CODE.addr + BIAS + 5000).toString(16)} differs`,
  });
  const writable = { addr: addr(DATA.addr + BIAS), bytes: new Uint8Array(4096) };
  t.same(matchMappedFile(imageOf(loadedCode(), writable), STARTED, file), found, 'data is not compared');
  t.same(
    matchMappedFile(imageOf(), STARTED, file),
    { same: true, bias: BIAS, proof: null, altered: [] },
    'there is nothing to compare',
  );
  t.end();
});

t.test('mapped file: one that cannot be loaded there, or is for another CPU, is refused', (t) => {
  const refused = { same: false };
  const image = imageOf(loadedCode());
  const reason = 'its code is linked for other addresses';
  t.same(matchMappedFile(image, { ...STARTED, entry: BIAS + 8 }, file), { ...refused, reason }, 'not a whole page');
  t.same(matchMappedFile(image, UNKNOWN, file), { ...refused, reason });
  t.same(matchMappedFile({ ...image, arch: 'arm64' }, STARTED, file), {
    ...refused,
    reason: 'it is for amd64, and the target runs on arm64',
  });
  t.end();
});

t.test('build ids: only those that both sides have are compared', (t) => {
  const ids = (buildId: string | null, goBuildId: string | null) => ({ buildId, goBuildId });
  t.equal(compareBuildIds(ids('a', 'b'), ids('a', 'b')), 'same');
  t.equal(compareBuildIds(ids('a', null), ids('a', 'b')), 'same');
  t.equal(compareBuildIds(ids('a', 'b'), ids('a', 'c')), 'different');
  t.equal(compareBuildIds(ids('a', null), ids('x', null)), 'different');
  t.equal(compareBuildIds(ids('a', null), ids(null, 'b')), 'unknown');
  t.end();
});
