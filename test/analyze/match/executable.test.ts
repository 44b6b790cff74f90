import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { matchBinary, type BinaryMatch } from '../../../analyze/match/executable.js';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { addr } from '../../../snapshots/address.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { GospyError } from '../../../snapshots/errors.js';
import { LayeredSource, Memory, SegmentSource } from '../../../snapshots/memory.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../../support/go.js';
import { random, temporaryFolder } from '../../support/gsp.js';
import { readelfSymbols } from '../../support/readelf.js';
import { CHANGES, SAME_CODE_RELEASES, strippedCgo, type Cell } from '../../support/releases.js';

type Test = Parameters<typeof startGo>[0];

async function run(t: Test, cell: Cell): Promise<GoProcess> {
  return startGo(t, await buildGo(cell));
}

function liveProgram(t: Test, { pid }: GoProcess): GoProgram {
  const live = new LiveProcess(pid, 'read');
  t.teardown(() => live.close());
  return openProgram(live.image());
}

async function match(program: Pick<GoProgram, 'image' | 'code' | 'runtime'>, cell: Cell): Promise<BinaryMatch> {
  return matchFile(program, await buildGo(cell));
}

function matchFile(program: Pick<GoProgram, 'image' | 'code' | 'runtime'>, path: string): BinaryMatch {
  const file = ElfFile.open(path);
  try {
    return matchBinary(program, file);
  } finally {
    file.close();
  }
}

function reasonOf(match: BinaryMatch): string {
  return match.same ? 'none: it was found to be the same' : match.reason;
}

/** Returns the link-time address of main.main, by readelf. */
function mainSymbol(path: string): number {
  const line = readelfSymbols(path, '.symtab').find((symbol) => symbol.startsWith('main.main '));
  return Number(line?.split(' ')[1]);
}

for (const release of SAME_CODE_RELEASES) {
  t.test(`same code: go${release}, a stripped process and the build with symbols`, async (t) => {
    if (!requireGo(t)) return;
    const park = { fixture: 'park', release } as const;
    const cells = {
      plain: [
        { ...park, link: 'stripped' },
        { ...park, link: 'plain' },
      ],
      pie: [
        { ...park, link: 'stripped-pie' },
        { ...park, link: 'pie' },
      ],
      cgo: [strippedCgo(release), { ...park, link: 'cgo' }],
    } as const satisfies Record<string, readonly [Cell, Cell]>;
    for (const [name, [stripped, withSymbols]] of Object.entries(cells)) {
      const process = await run(t, stripped);
      const program = liveProgram(t, process);
      const found = await match(program, withSymbols);
      t.match(found, { same: true, identical: false }, `${name}: ${reasonOf(found)}`);
      if (!found.same) continue;
      const main = mainSymbol(await buildGo(withSymbols)) + found.bias;
      t.equal(
        program.code.modules[0]?.find(main)?.name,
        'main.main',
        `${name}: the symbol plus the bias is the address of the function`,
      );
      t.same(await match(program, stripped), { ...found, identical: true }, `${name}: the executable itself`);

      const { image } = await captureToImage(process.pid, { mode: 'live', writer: 'test' });
      t.same(await match(openProgram(image), withSymbols), found, `${name}: a snapshot`);
      t.same(await match(openProgram(image), stripped), { ...found, identical: true }, `${name}: a snapshot of itself`);
      for (const [other, [, cell]] of Object.entries(cells)) {
        if (other !== name) t.equal((await match(program, cell)).same, false, `${name} is not ${other}`);
      }
      await process.kill();
    }
  });
}

t.test('same code: other programs are refused, with the reason', async (t) => {
  if (!requireGo(t)) return;
  const program = liveProgram(t, await run(t, { fixture: 'many', release: '1.26', link: 'stripped' }));
  const busy = await match(program, { fixture: 'busy', release: '1.26', link: 'plain' });
  t.match(reasonOf(busy), /^it has \d+ functions, and the target \d+$|^the names of its functions are not the same$/);
  const newer = await match(program, { fixture: 'park', release: '1.27', link: 'plain' });
  t.match(reasonOf(newer), /^it has \d+ functions, and the target \d+$/);
  const older = await match(program, { fixture: 'park', release: '1.19', link: 'plain' });
  t.equal(reasonOf(older), 'it was built by another release of Go');
  t.equal(reasonOf(matchFile(program, '/bin/sh')), 'it has no Go function table');
  const arm64 = await match(program, { fixture: 'many', release: '1.26', link: 'plain', arch: 'arm64' });
  t.equal(reasonOf(arm64), 'it is for arm64, and the target runs on amd64');
});

t.test(
  'same code: a stripped copy is identical by its build ids, a file with only debug information is refused',
  async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
    const program = liveProgram(t, await startGo(t, path));
    const folder = temporaryFolder(t);
    execFileSync('strip', ['-o', join(folder, 'stripped'), path]);
    t.same(matchFile(program, join(folder, 'stripped')), { same: true, bias: 0, identical: true });
    execFileSync('objcopy', ['--only-keep-debug', path, join(folder, 'debug')]);
    t.match(reasonOf(matchFile(program, join(folder, 'debug'))), 'only debug information');
  },
);

t.test('same code: the same program with a number or an operator changed is refused', async (t) => {
  if (!requireGo(t)) return;
  const cell: Cell = { fixture: 'many', release: '1.26', link: 'plain' };
  const program = liveProgram(t, await run(t, { ...cell, link: 'stripped' }));
  t.match(await match(program, cell), { same: true });
  const [number, operator] = CHANGES;
  t.equal(reasonOf(await match(program, { ...cell, replace: number })), 'the code of main.main is not the same');
  t.equal(reasonOf(await match(program, { ...cell, replace: operator })), 'the code of main.receiver is not the same');
});

/** Returns the program with `byte` at each of the addresses. */
function patched(
  program: GoProgram,
  at: readonly number[],
  byte: number,
): Pick<GoProgram, 'image' | 'code' | 'runtime'> {
  const { image, code, runtime, memory } = program;
  const patches = at.map((middle) => {
    const bytes = memory.bytes(addr(middle - 64), 128);
    bytes[64] = byte;
    return { addr: addr(middle - 64), bytes };
  });
  const source = new LayeredSource([new SegmentSource(patches), image.memory.source]);
  return { image: { ...image, memory: new Memory(source) }, code, runtime };
}

t.test('same code: a changed byte at the start of any function is a difference, a breakpoint is not', async (t) => {
  if (!requireGo(t)) return;
  const cell: Cell = { fixture: 'park', release: '1.26', link: 'pie' };
  const program = liveProgram(t, await run(t, { ...cell, link: 'stripped-pie' }));
  const found = await match(program, cell);
  const [table] = program.code.modules;
  if (!found.same || table === undefined) throw new Error(reasonOf(found));
  const next = random(7);
  const entries: number[] = [];
  for (let i = 0; i < 30; i++) {
    const { name, entry } = table.at(next(table.length));
    entries.push(entry);
    const changed = patched(program, [entry], program.memory.u8(entry) === 0x90 ? 0x91 : 0x90);
    t.equal(reasonOf(await match(changed, cell)), `the code of ${name} is not the same`);
  }
  t.same(await match(patched(program, entries, 0xcc), cell), found);
});

t.test('same code: a damaged file is either refused or the same', async (t) => {
  if (!requireGo(t)) return;
  const cell: Cell = { fixture: 'many', release: '1.26', link: 'plain' };
  const program = liveProgram(t, await run(t, { ...cell, link: 'stripped' }));
  const whole = readFileSync(await buildGo(cell));
  const table = ElfFile.from('whole', whole).section('.gopclntab');
  const places = [0, 64, table?.fileOffset ?? 0, (table?.fileOffset ?? 0) + 16];
  const next = random(11);
  let refused = 0;
  for (let i = 0; i < 80; i++) {
    const bytes = i % 2 === 0 ? Buffer.from(whole) : Buffer.from(whole.subarray(0, next(whole.length)));
    const at = (places[i % places.length] ?? 0) + next(i % 3 === 0 ? 60 : 400);
    for (let n = next(12); n >= 0 && at + n < bytes.length; n--) bytes[at + n] = next(256);
    try {
      if (!matchBinary(program, ElfFile.from('damaged', bytes)).same) refused++;
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      refused++;
    }
  }
  t.ok(refused >= 30, `${refused} of 80 were refused`);
});
