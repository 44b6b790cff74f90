import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import tap, { test } from 'tap';
import { Memory, MemoryFault, onFault } from '../../snapshots/memory.js';
import { addr, plus, type Addr } from '../../snapshots/address.js';
import { Runs } from '../../snapshots/runs.js';
import { Pinned } from '../../capture/libc.js';
import { ProcessMemory } from '../../capture/process/process-memory.js';
import { readMappings } from '../../capture/process/procfs.js';
import { RunReader } from '../../capture/process/run-reader.js';
import { SparseReader } from '../../capture/process/sparse-reader.js';
import { MemoryPort } from '../../capture/process/memory-port.js';
import { Target, buildC, thrownBy, until } from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());

const PAGES = 64;
/** Pages of the pattern that are absent: one was unmapped, one may not be read. */
const [UNMAPPED, FORBIDDEN] = [20, 40];
const METHODS = ['process_vm_readv', '/proc/PID/mem'] as const;

interface Pattern {
  readonly target: Target;
  /** 64 pages of words i * 2654435761, except for the two above. */
  readonly memory: Addr;
  /** One page of `x`, then three that are mapped, but beyond the end of their file. */
  readonly file: Addr;
  readonly page: number;
}

async function pattern(): Promise<Pattern> {
  const target = await Target.start(programs.c, 'pattern');
  const [memory = '', file = '', page = ''] = target.preamble[0]?.split(' ') ?? [];
  return { target, memory: addr(Number(memory)), file: addr(Number(file)), page: Number(page) };
}

/** What target.c wrote at an offset into the pattern. */
function expected(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const word = Math.imul(Math.floor((offset + i) / 4), 2654435761) >>> 0;
    bytes[i] = Math.floor(word / 256 ** ((offset + i) % 4)) % 256;
  }
  return bytes;
}

for (const method of METHODS) {
  test(`memory: ${method} reads up to the first absent page`, async (t) => {
    const { target, memory, file, page } = await pattern();
    t.teardown(() => target.end());
    const port = new MemoryPort(target.pid, target.pid, method);
    const into = new Pinned(PAGES * page);
    t.equal(port.read(memory + 8, into, 0, 100), 100);
    t.strictSame(into.bytes.slice(0, 100), expected(8, 100));
    t.equal(port.read(memory + UNMAPPED * page, into, 0, 16), 0);
    t.equal(port.read(file, into, 0, 4 * page), page);
    t.strictSame(into.bytes.slice(0, page), new Uint8Array(page).fill('x'.charCodeAt(0)));
    port.close();
  });

  test(`memory: runs by ${method}: returns which are absent, and reads the others whole`, async (t) => {
    const { target, memory, page } = await pattern();
    t.teardown(() => target.end());
    const port = new MemoryPort(target.pid, target.pid, method);
    // More than fit in one call; 24 bytes in every 80, so that neighbours do not merge into a run.
    const ranges = Array.from({ length: Math.floor((PAGES * page - 24) / 80) }, (_, i) => {
      const lo = plus(memory, i * 80);
      return { lo, hi: plus(lo, 24) };
    });
    const runs = new Runs(ranges, 0);
    const reader = new RunReader(port, runs);
    const absent = (i: number): boolean => {
      const { lo, hi } = runs.at(i);
      return [UNMAPPED, ...(method === 'process_vm_readv' ? [FORBIDDEN] : [])].some(
        (p) => lo < memory + (p + 1) * page && hi > memory + p * page,
      );
    };
    const indices = ranges.map((_, i) => i);
    for (let round = 0; round < 2; round++) {
      const failed = reader.read();
      t.strictSame(failed, indices.filter(absent));
      for (const i of indices.filter((index) => !absent(index))) {
        const { lo, hi, offset } = runs.at(i);
        if (!Buffer.from(expected(lo - memory, hi - lo)).equals(reader.bytes.subarray(offset, offset + hi - lo)))
          t.fail(`run ${i}`);
      }
      reader.bytes.fill(0);
    }
    const sparse = new SparseReader(port, runs);
    const odd = Uint8Array.from(indices, (i) => i % 2);
    const every = Uint8Array.from(indices, () => 1);
    for (const marked of [odd, every, odd]) {
      if (marked === every) sparse.forget();
      t.strictSame(
        sparse.read(marked),
        indices.filter((i) => marked[i] === 1 && absent(i)),
      );
    }
    for (const i of indices.filter((index) => !absent(index))) {
      const { lo, hi } = runs.at(i);
      const place = sparse.placeOf(i);
      const bytes = place === null ? undefined : new Uint8Array(place.view.buffer, place.offset, hi - lo);
      if (bytes === undefined || !Buffer.from(expected(lo - memory, hi - lo)).equals(bytes)) t.fail(`run ${i} of some`);
    }
    sparse.forget();
    sparse.read(odd);
    t.equal(sparse.placeOf(0), null, 'what was not asked for takes no room');
    t.equal(sparse.sizeBytes, 24 * odd.filter((mark) => mark === 1).length);
    port.close();
  });
}

test('memory: windows hold the memory of the process, and holes are absent', async (t) => {
  const { target, memory, file, page } = await pattern();
  t.teardown(() => target.end());
  const port = new MemoryPort(target.pid, target.pid);
  const mappings = readMappings(target.pid, target.pid);
  const source = new ProcessMemory(port, mappings, () => mappings);
  const view = new Memory(source);
  for (let p = 0; p < PAGES; p++) {
    const at = plus(memory, p * page);
    if (p === UNMAPPED || p === FORBIDDEN) t.throws(() => view.u8(at), MemoryFault);
    else t.ok(Buffer.from(expected(p * page, page)).equals(view.bytes(at, page)), `page ${p}`);
  }
  const known = [...source.ranges(memory, memory + PAGES * page)].map(({ lo, hi }) => [lo - memory, hi - memory]);
  t.strictSame(known, [
    [0, UNMAPPED * page],
    [(UNMAPPED + 1) * page, FORBIDDEN * page],
    [(FORBIDDEN + 1) * page, PAGES * page],
  ]);
  t.equal(view.u8(plus(file, page - 1)), 'x'.charCodeAt(0));
  t.throws(() => view.u8(plus(file, page)), MemoryFault, 'mapped, but beyond the end of its file');
  t.throws(() => view.u8(addr(4096)), MemoryFault);
  port.close();
});

test('memory: long copies of what a process cannot write, up to where it ends', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const port = new MemoryPort(target.pid, target.pid);
  const mappings = readMappings(target.pid, target.pid);
  const source = new ProcessMemory(port, mappings, () => mappings);
  const view = new Memory(source);
  const constant = mappings.filter(({ writable, readable, path }) => readable && !writable && path.includes('libc'));
  t.ok(constant.length > 1);
  for (const { start, end, fileOffset, path } of constant) {
    const size = end - start;
    const truth = readFileSync(path).subarray(fileOffset, fileOffset + size);
    // The parts that are relocated differ from the file.
    if (size > 64 * 1024)
      t.ok(truth.equals(view.bytes(start, truth.length)), `${size} bytes at ${fileOffset} of the file`);
    const into = new Uint8Array(size + 10);
    t.equal(source.copy(start, into), size, 'not beyond the mapping');
    t.ok(Buffer.from(into.subarray(0, size)).equals(view.bytes(start, size)));
  }
  const [data] = mappings.filter(({ path, writable }) => writable && path === programs.c);
  t.equal(data === undefined ? null : source.copy(data.start, new Uint8Array(8)), 0, 'may change');
  const edge = mappings.find(
    ({ readable, writable, end }, i) => readable && !writable && mappings[i + 1]?.start !== end,
  );
  const [start, end] = [edge?.start ?? addr(0), edge?.end ?? addr(0)];
  const absent = onFault(
    () => view.bytes(start, end - start + 2 ** 20),
    ({ addr }) => addr,
  );
  t.equal(absent, end, 'what is absent is said');
  port.close();
});

test('memory: mappings are looked up again for what is in none of them, and not for what is nowhere', async (t) => {
  const { target, memory, page } = await pattern();
  t.teardown(() => target.end());
  const port = new MemoryPort(target.pid, target.pid);
  const mappings = readMappings(target.pid, target.pid);
  const earlier = mappings.filter(({ start, end }) => end <= memory || start >= memory + PAGES * page);
  for (const reader of [port, port.ofProgram]) {
    let looks = 0;
    const source = new ProcessMemory(reader, earlier, () => {
      looks++;
      return mappings;
    });
    const view = new Memory(source);
    for (const nowhere of [4096, memory + UNMAPPED * page, memory + FORBIDDEN * page, 2 ** 46])
      t.throws(() => view.u8(addr(nowhere)), MemoryFault);
    t.equal(looks, 0);
    t.ok(Buffer.from(expected(0, page)).equals(view.bytes(addr(memory), page)), 'this was mapped later');
    t.equal(looks, 1);
  }
  port.close();
});

test('memory: what was read once is kept', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const port = new MemoryPort(target.pid, target.pid);
  const mappings = readMappings(target.pid, target.pid);
  const data = mappings.filter(({ path, writable }) => writable && path === programs.c);
  const source = new ProcessMemory(port, mappings, () => mappings);
  const look = (source: ProcessMemory): Buffer =>
    Buffer.concat(data.map(({ start, end }) => new Memory(source).bytes(start, end - start)));
  const first = look(source);
  await target.beatsOn();
  t.ok(first.equals(look(source)));
  t.notOk(first.equals(look(new ProcessMemory(port, mappings, () => mappings))), 'its count of heartbeats is there');
  port.close();
});

for (const [name, code] of [
  ['EPERM', 1],
  ['ENOSYS', 38],
] as const) {
  test(`memory: if process_vm_readv is refused (${name}), /proc/PID/mem is read`, async (t) => {
    const { target, memory } = await pattern();
    t.teardown(() => target.end());
    const script = `
      const { MemoryPort } = await import(${JSON.stringify(new URL('../../capture/process/memory-port.js', import.meta.url).href)});
      const { Pinned } = await import(${JSON.stringify(new URL('../../capture/libc.js', import.meta.url).href)});
      const port = new MemoryPort(${target.pid}, ${target.pid});
      const into = new Pinned(64);
      console.log(JSON.stringify([port.method, port.read(${memory + 128}, into, 0, 64), [...into.bytes]]));`;
    const command = [process.execPath, '--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)(programs.c, ['deny', 'vm', String(code), ...command]);
    t.strictSame(JSON.parse(stdout), ['/proc/PID/mem', 64, [...expected(128, 64)]]);
  });
}

test('memory: notices that the process has ended, or has become another program', async (t) => {
  const { target, memory } = await pattern();
  const port = new MemoryPort(target.pid, target.pid);
  t.ok(port.isSameImage(memory));
  await target.end();
  t.notOk(port.isSameImage(memory));
  port.close();
  const changing = Target.spawn('/bin/sh', '-c', 'echo; read line; exec sleep 1000');
  t.teardown(() => changing.end());
  await changing.line();
  const [first] = readMappings(changing.pid, changing.pid);
  const shell = new MemoryPort(changing.pid, changing.pid);
  const start = first?.start ?? 0;
  t.ok(shell.isSameImage(start));
  changing.child.stdin?.write('\n');
  await until(() => !shell.isSameImage(start), 'the execve of the shell');
  t.equal(
    thrownBy(() => process.kill(changing.pid, 0)),
    undefined,
    'the process itself lives',
  );
  shell.close();
});
