import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack, Wait } from '../../analyze/report/model.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { openCorePrograms } from '../../src/targets/core-files.js';
import { withCore } from '../support/core-goroutines.js';
import { crash } from '../support/cores.js';
import { buildGo, requireGo } from '../support/go.js';
import { random, temporaryFolder } from '../support/gsp.js';
import { CHANGES, type Cell } from '../support/releases.js';
import { gospy } from './gospy-process.js';

const CRASH: Cell = { fixture: 'crash', release: '1.26', link: 'plain' };
const PARK: Cell = { fixture: 'park', release: '1.26', link: 'stripped' };
const RANDOM_CUTS = 100;
const FLIPS = 200;

interface Range {
  readonly lo: number;
  readonly hi: number;
}

/** A goroutine of a whole core, with all memory of its own that its stack is read from. */
interface Whole {
  readonly goroutine: GoroutineWithStack;
  readonly memory: readonly Range[];
}

/** What a whole core holds, and where it lies in the file. */
interface Reference {
  readonly goroutines: readonly Whole[];
  /** Where the list of goroutines lies. */
  readonly list: Range;
  /** Behind this the program's own variables are all in the file. */
  readonly variablesEnd: number;
  readonly fileEndOf: (range: Range) => number;
  readonly sizeBytes: number;
}

function referenceOf(path: string): Reference {
  const file = ElfFile.open(path);
  const loads = [...file.loaded];
  file.close();
  const fileEndOf = ({ lo, hi }: Range): number => {
    const parts = loads.filter((range) => range.lo < hi && range.hi > lo);
    return Math.max(...parts.map((range) => range.fileOffset + Math.min(hi, range.hi) - range.lo));
  };
  return withCore(path, {}, (program) => {
    const described = new Map([...listGoroutines(program, 'stack')].map((g) => [g.goid, g]));
    const goroutines = [...program.goroutines()].flatMap((g) => {
      const goroutine = described.get(g.goid);
      if (goroutine === undefined || g.status === 'running') return [];
      const sp = g.syscallsp === 0 ? g.sched.sp : g.syscallsp;
      const record = { lo: g.addr, hi: g.addr + program.layouts.of('g').sizeBytes };
      return [{ goroutine, memory: [record, { lo: sp, hi: g.stack.hi }] }];
    });
    const list = program.memory.ptr(program.globals.allgs);
    const length = program.memory.word(program.globals.allgs, 8);
    const [runtime] = program.code.modules;
    const data = runtime?.module.data ?? [];
    return {
      goroutines,
      list: { lo: list, hi: list + 8 * length },
      variablesEnd: Math.max(...data.map(fileEndOf)),
      fileEndOf,
      sizeBytes: program.image.executable.sizeBytes ?? 0,
    };
  });
}

/** Cuts a core and holds what is read of it against the whole: nothing may be wrong, and what is there must be found. */
function assertCut(t: Test, whole: string, reference: Reference, cut: string, length: number): 'read' | 'refused' {
  copyFileSync(whole, cut);
  truncateSync(cut, length);
  let core;
  try {
    core = openCore(cut);
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    if (error.exitCode !== ExitCode.badFile) t.fail(`${length} bytes: ${error.message}`);
    return 'refused';
  }
  try {
    if (core.missingBytes > 0 && !/\d+ are missing/.test(core.problems.join())) t.fail(`${length} bytes: not told`);
    const { programs, close } = openCorePrograms(core, {});
    const [program] = programs;
    const read = new Map([...listGoroutines(program, 'stack')].map((g) => [g.goid, g]));
    for (const { goroutine, memory } of reference.goroutines) {
      const own = read.get(goroutine.goid);
      const there = [reference.list, ...memory].every((range) => reference.fileEndOf(range) <= length);
      const fault = own === undefined ? 'it is not listed' : differenceOf(own, goroutine);
      const excused = !there && (own === undefined || own.truncated !== null);
      if (fault !== null && !excused) t.fail(`${length} bytes, goroutine ${goroutine.goid}: ${fault}`);
    }
    close();
    return 'read';
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    if (error.exitCode !== ExitCode.badFile) t.fail(`${length} bytes: exit code ${error.exitCode}: ${error.message}`);
    if (length >= reference.variablesEnd)
      t.fail(`${length} bytes, with all variables, cannot be read: ${error.message}`);
    return 'refused';
  } finally {
    core.close();
  }
}

const WAITS = new Set(['chan', 'lock', 'timer']);

/**
 * What lies elsewhere than in the goroutine's own memory is not compared: its thread, its labels. What it waits on and works on
 * may be missing, but not be another. Channels, locks and timers that it works on are those that it waits on.
 */
function differenceOf(own: GoroutineWithStack, whole: GoroutineWithStack): string | null {
  const told = (g: GoroutineWithStack): string =>
    JSON.stringify({ ...g, thread: null, labels: null, waitsOn: null, work: null });
  if (told(own) !== told(whole)) return `${told(own)} is not ${told(whole)}`.slice(0, 2000);
  const invented = own.work.find(
    ({ kind, text }) => !WAITS.has(kind) && !whole.work.some((other) => other.kind === kind && other.text === text),
  );
  if (invented !== undefined) return `it works on ${JSON.stringify(invented)}, not on ${JSON.stringify(whole.work)}`;
  const untrue = own.waitsOn.find((wait) => !whole.waitsOn.some((other) => isPartOf(wait, other)));
  return untrue === undefined ? null : `it waits on ${JSON.stringify(untrue)}, not on ${JSON.stringify(whole.waitsOn)}`;
}

/** True if what is told of a wait is told of another, which may say more: that a channel is a timer's, for one. */
function isPartOf(part: Wait, whole: Wait): boolean {
  const all = new Map<string, unknown>(Object.entries(whole));
  return Object.entries(part).every(([key, value]) => {
    if (key === 'kind' && value === 'chan') return whole.kind === 'chan' || whole.kind === 'timer';
    return value === null || JSON.stringify(value) === JSON.stringify(all.get(key));
  });
}

if (requireGo(t)) {
  t.test('truncated: a small core, at every page boundary', async (t) => {
    const folder = temporaryFolder(t);
    const { core } = await crash(t, await buildGo(CRASH), { args: ['abort'], signal: 'SIGABRT' });
    const [snapshot, small] = [join(folder, 'small.gsp'), join(folder, 'small.core')];
    t.match(await gospy(['capture', '--core', core, '-o', snapshot]), { code: 0 });
    t.match(await gospy(['export', snapshot, '--format', 'core', '-o', small]), { code: 0 });
    const size = readFileSync(small).length;
    const reference = referenceOf(small);
    let read = 0;
    for (let length = 0; length < size; length += 4096) {
      if (assertCut(t, small, reference, join(folder, 'cut.core'), length) === 'read') read++;
    }
    t.ok(read > size / 4096 / 5, `${read} of ${size / 4096} cuts leave a program`);
  });

  t.test('truncated: a larger core, at random points', async (t) => {
    const { core } = await crash(t, await buildGo(PARK), { signal: 'SIGABRT' });
    const reference = referenceOf(core);
    const next = random(5);
    const lowest = reference.variablesEnd;
    const highest = Math.max(...reference.goroutines.flatMap(({ memory }) => memory.map(reference.fileEndOf)));
    let read = 0;
    for (let i = 0; i < RANDOM_CUTS; i++) {
      const length = i % 4 === 0 ? next(highest) : lowest + next(highest - lowest);
      if (assertCut(t, core, reference, join(dirname(core), 'cut'), length) === 'read') read++;
    }
    t.ok(read > RANDOM_CUTS / 2, `${read} cuts leave a program`);
  });

  t.test('truncated: the commands say what is missing, and give the rest', async (t) => {
    const { core } = await crash(t, await buildGo(PARK), { signal: 'SIGABRT' });
    const reference = referenceOf(core);
    const ends = reference.goroutines
      .map(({ memory }) => Math.max(...memory.map(reference.fileEndOf)))
      .sort((a, b) => a - b);
    const length = Math.max(reference.fileEndOf(reference.list), ends[Math.floor(ends.length / 2)] ?? 0);
    const size = execFileSync('stat', ['-c', '%s', core], { encoding: 'utf8' }).trim();
    truncateSync(core, length);
    const told = new RegExp(`it has ${length} of ${size} bytes, ${Number(size) - length} are missing`);
    const info = await gospy(['info', core, '--json']);
    t.match(info, { code: 5, stderr: told });
    const document = JSON.parse(info.stdout) as {
      cut: unknown[];
      missing: { stacks: { goid: number; reason: string }[]; unreadable: number };
    };
    t.ok(document.cut.length > 0, 'the mappings are named');
    t.ok(document.missing.stacks.length + document.missing.unreadable > 0, 'the goroutines are named');
    for (const { reason } of document.missing.stacks) t.match(reason, /the core was cut short/);
    const list = await gospy(['goroutines', core, '--json']);
    t.match(list, { code: 5, stderr: told });
    const { goroutines } = JSON.parse(list.stdout) as { goroutines: GoroutineWithStack[] };
    t.ok(goroutines.filter(({ truncated }) => truncated === null).length >= ends.length / 4, 'the rest is there');
    const snapshot = join(dirname(core), 'cut.gsp');
    t.match(await gospy(['capture', '--core', core, '-o', snapshot, '--strict']), { code: 7, stderr: /missing/ });
  });

  t.test('damaged: bits flipped in headers and notes never end in a bug', async (t) => {
    const { core } = await crash(t, await buildGo(CRASH), { args: ['panic'] });
    const file = ElfFile.open(core);
    const notes = file.segments.find(({ type }) => type === SegmentType.note);
    file.close();
    const end = (notes?.fileOffset ?? 0) + (notes?.fileSize ?? 0);
    const head = readFileSync(core).subarray(0, end);
    const fd = openSync(core, 'r+');
    const next = random(7);
    let read = 0;
    for (let i = 0; i < FLIPS; i++) {
      const at = next(i % 2 === 0 ? (notes?.fileOffset ?? 1) : end);
      writeSync(fd, Uint8Array.of((head[at] ?? 0) ^ (1 << next(8))), 0, 1, at);
      try {
        withCore(core, {}, (program) => [...listGoroutines(program, 'stack')]);
        read++;
      } catch (error) {
        if (!(error instanceof GospyError) || error.exitCode === ExitCode.bug) throw error;
      }
      writeSync(fd, head.subarray(at, at + 1), 0, 1, at);
    }
    closeSync(fd);
    t.ok(read > FLIPS / 4, `${read} of ${FLIPS} are read all the same`);
  });

  t.test('compressed: gzip and zstd are read, others are named', async (t) => {
    const { core } = await crash(t, await buildGo(CRASH), { args: ['panic'] });
    const plain = await gospy(['goroutines', core, '--json']);
    const packed = `${core}.packed`;
    writeFileSync(packed, gzipSync(readFileSync(core)));
    t.same(await gospy(['goroutines', packed, '--json']), plain, 'gzip');
    const whole = readFileSync(packed);
    writeFileSync(packed, whole.subarray(0, Math.floor(whole.length / 2)));
    t.match(await gospy(['info', packed]), { code: 5, stderr: /is cut: its gzip stream ends early/ });
    for (const [tool, word] of [
      ['zstd', null],
      ['xz', /an xz file.*unxz/],
      ['bzip2', /a bzip2 file.*bunzip2/],
    ] as const) {
      writeFileSync(
        packed,
        execFileSync(tool, ['-c', core], { maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] }),
      );
      const read = await gospy(['goroutines', packed, '--json']);
      if (word === null) t.same(read, plain, tool);
      else t.match(read, { code: 5, stdout: '', stderr: word });
    }
    writeFileSync(packed, Buffer.from('04224d1864400000', 'hex'));
    t.match(await gospy(['summary', packed]), { code: 5, stderr: /an lz4 file.*unlz4/ });
    writeFileSync(packed, gzipSync('no core\n'));
    t.match(await gospy(['summary', packed]), { code: 5, stderr: /a gzip file with a text file in it.*gunzip/ });
  });

  t.test('executable: another build is refused with both ids, and the right one is found elsewhere', async (t) => {
    const folder = temporaryFolder(t);
    const [replace] = CHANGES;
    const many: Cell = { fixture: 'many', release: '1.26', link: 'plain' };
    const [right, wrong] = [await buildGo(many), await buildGo({ ...many, replace })];
    const path = join(folder, 'program');
    copyFileSync(right, path);
    const { core } = await crash(t, path, { args: ['-n', '10'], signal: 'SIGABRT' });
    const plain = await gospy(['goroutines', core, '--json']);
    t.equal(plain.code, 0);
    const files = [right, wrong].map((file) => ElfFile.open(file));
    const ids = files.map(({ goBuildId }) => goBuildId ?? '');
    const gnu = files[0]?.buildId ?? '';
    for (const file of files) file.close();

    copyFileSync(wrong, path);
    const mismatch = await gospy(['summary', core]);
    t.match(mismatch, { code: 5, stdout: '' });
    for (const id of ids) t.ok(mismatch.stderr.includes(id), 'both ids');
    const refused = await gospy(['summary', core, '--bin', wrong]);
    t.match(refused, { code: 5, stdout: '' });
    for (const id of ids) t.ok(refused.stderr.includes(id), 'both ids');
    t.match(await gospy(['info', core]), { code: 5, stdout: /none can be read/ });
    const named = await gospy(['goroutines', core, '--bin', right, '--json']);
    t.same([named.code, named.stdout], [0, plain.stdout]);

    renameSync(path, join(folder, 'moved'));
    t.match(await gospy(['summary', core]), { code: 5, stderr: /executable .*program was not found.*--bin/ });
    t.match(
      await gospy(['info', core]),
      { code: 5, stderr: /Name the executable .*--bin/ },
      'to copy it would not help',
    );
    const byId = join(folder, 'debug', '.build-id', gnu.slice(0, 2));
    mkdirSync(byId, { recursive: true });
    copyFileSync(right, join(byId, `${gnu.slice(2)}.debug`));
    t.same(await gospy(['goroutines', core, '--debug-dir', join(folder, 'debug'), '--json']), plain, 'by build id');
    const byPath = join(folder, 'root', path);
    mkdirSync(dirname(byPath), { recursive: true });
    copyFileSync(right, byPath);
    t.same(await gospy(['goroutines', core, '--debug-dir', join(folder, 'root'), '--json']), plain, 'by path');
  });

  t.test('diagnosis: no Go program, no core, other CPUs', async (t) => {
    const folder = temporaryFolder(t);
    const { core } = await crash(t, '/bin/sleep', { args: ['100'], signal: 'SIGABRT', ready: null });
    t.match(await gospy(['summary', core]), { code: 3, stdout: '', stderr: /no.* Go/ });
    t.match(await gospy(['info', core]), { code: 0, stderr: /program-unreadable/ });
    const head = readFileSync(core).subarray(0, 4096);
    const altered = (...changes: [at: number, value: number][]): string => {
      const path = join(folder, 'altered.core');
      const bytes = Buffer.from(head);
      for (const [at, value] of changes) bytes.writeUInt8(value, at);
      writeFileSync(path, bytes);
      return path;
    };
    t.match(await gospy(['summary', altered([18, 243])]), { code: 6, stderr: /riscv64/ });
    t.match(await gospy(['summary', altered([4, 1])]), { code: 6, stderr: /32 bits/ });
    t.match(await gospy(['summary', altered([5, 2], [16, 0], [17, 4])]), { code: 6, stderr: /big-endian/ });
    t.match(await gospy(['summary', process.execPath]), { code: 5, stderr: /neither a snapshot nor a core/ });
  });
}
