import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { compareWithTraceback } from '../support/compare.js';
import { readCore } from '../support/core-goroutines.js';
import { crash } from '../support/cores.js';
import { buildEmbedded } from '../support/embedded.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { buildPacker } from '../support/packed.js';
import { CHANGES, manyArm64, type Cell } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { gospy } from './gospy-process.js';

const MANY: Cell = { fixture: 'many', release: '1.26', link: 'stripped' };
/** coredump_filter: with everything that is mapped, and without what files hold. */
const [WHOLE, LEAN] = ['0x7f', '0x33'];

/** A file that is not the one that the process had, put in its place. */
interface Misfit {
  readonly put: (path: string, right: string) => void | Promise<void>;
  /** Why it does not fit. */
  readonly told: RegExp;
}

/** Files in the place of a program of Go. */
const MISFITS: Readonly<Record<string, Misfit>> = {
  'another build': {
    put: async (path) => copyFileSync(await buildGo({ ...MANY, replace: CHANGES[0] }), path),
    told: /its build ids differ/,
  },
  'a program for another CPU': {
    put: async (path) => copyFileSync(await buildGo(manyArm64('1.26', 'stripped')), path),
    told: /it is for arm64/,
  },
  'the program, cut short': {
    put: (path, right) => {
      copyFileSync(right, path);
      truncateSync(path, Math.floor(readFileSync(right).length / 2));
    },
    told: /it was cut short: \d+ bytes are missing/,
  },
  'a text': { put: (path) => writeFileSync(path, 'not a program\n'), told: /is not an ELF file: it is a text file/ },
  'an empty file': { put: (path) => writeFileSync(path, ''), told: /an empty file/ },
  'a header alone': {
    put: (path, right) => writeFileSync(path, readFileSync(right).subarray(0, 100)),
    told: /damaged or truncated/,
  },
  'a program of 32 bits': { put: (path) => writeFileSync(path, narrowElf()), told: /32 bits/ },
  'a folder': {
    put: (path) => {
      mkdirSync(path);
    },
    told: /is not a regular file/,
  },
  'a pipe': {
    put: (path) => {
      execFileSync('mkfifo', [path]);
    },
    told: /is not a regular file/,
  },
  'a circle of links': { put: (path) => symlinkSync(path, path), told: /circle/ },
};

function narrowElf(): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x01\x01\x01', 'latin1');
  return header;
}

/** Has a copy of `right` at `path` crash, and returns its core. */
async function coreOf(t: Test, right: string, path: string, filter: string): Promise<string> {
  rmSync(path, { recursive: true, force: true });
  copyFileSync(right, path);
  return (await crash(t, path, { args: ['-n', '10'], signal: 'SIGABRT', filter })).core;
}

/** Changes one byte of code, which is not in the first page. */
function patch(path: string): void {
  const file = ElfFile.open(path);
  const code = file.section('.text');
  file.close();
  const bytes = readFileSync(path);
  const at = (code?.fileOffset ?? 0) + 4096;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x55, at);
  writeFileSync(path, bytes);
}

if (requireGo(t)) {
  t.test('misfit: the file of a packed program lends nothing, and the core is read', async (t) => {
    const program = await buildGo(MANY);
    const packed = await buildPacker(temporaryFolder(t));
    const { core, stderr } = await crash(t, packed, { args: [program, '-n', '20'], signal: 'SIGABRT' });
    const { goroutines, warnings } = readCore(core);
    const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(stderr));
    t.same(differences, []);
    t.ok(compared.goroutines > 20, `${compared.goroutines} goroutines compared`);
    t.match(warnings, [new RegExp(`^executable-mismatch: ${packed} is not the program`)]);
    t.equal(warnings.length, 1);
    const plain = await gospy(['goroutines', core, '--json']);
    t.match(await gospy(['info', core, '--json']), { code: 0, stdout: '"executableFound": null' });
    t.match(await gospy(['summary', core, '--bin', packed]), { code: 5, stdout: '', stderr: /it may be packed/ });
    const named = await gospy(['goroutines', core, '--bin', program, '--json']);
    t.equal(named.code, 0, 'the program before it was packed has the same code');
    t.same(goroutinesIn(named.stdout), goroutinesIn(plain.stdout));

    const { pid } = await startGo(t, packed, { args: [program, '-n', '20'] });
    t.match(await gospy(['summary', '--pid', `${pid}`]), { code: 0, stdout: /waiting for chan receive: main\./ });
  });

  t.test("misfit: what stands in the executable's place lends nothing", async (t) => {
    const right = await buildGo(MANY);
    const path = join(temporaryFolder(t), 'program');
    const [whole, lean] = [await coreOf(t, right, path, WHOLE), await coreOf(t, right, path, LEAN)];
    const [ofWhole, ofLean] = [readCore(whole), readCore(lean)];
    const root = temporaryFolder(t);
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(right, join(root, path));
    rmSync(path);
    t.same(readCore(whole), ofWhole, 'nothing is said of a file that is not there');
    for (const [name, { put, told }] of Object.entries(MISFITS)) {
      await put(path, right);
      const { goroutines, warnings } = readCore(whole);
      t.same(goroutines, ofWhole.goroutines, `${name}: a core that has all it needs is read`);
      t.match(warnings, [told], `${name}: the reason`);
      t.match(warnings, [new RegExp(path)], `${name}: the file`);
      t.match(await gospy(['summary', lean]), { code: 5, stdout: '', stderr: told }, `${name}: what a core lacks`);
      const found = readCore(lean, { debugDir: [root] });
      t.same(found.goroutines, ofLean.goroutines, `${name}: the right file is found elsewhere`);
      rmSync(path, { recursive: true });
    }
  });

  t.test('misfit: a file with the right build id and other code lends no code', async (t) => {
    const right = await buildGo(MANY);
    const path = join(temporaryFolder(t), 'program');
    const core = await coreOf(t, right, path, WHOLE);
    const { goroutines, warnings } = readCore(core);
    t.same(warnings, []);
    patch(path);
    const patched = readCore(core);
    t.same(patched.goroutines, goroutines);
    t.match(patched.warnings, [/^file-altered: .*program has the right build id/]);
    for (const args of [[], ['--bin', path]]) {
      t.match(await gospy(['summary', core, ...args]), { code: 0, stderr: 'warning: file-altered' });
    }
  });

  t.test('misfit: what stands in the place of a Go library lends nothing', async (t) => {
    const folder = temporaryFolder(t);
    const { path, args } = await buildEmbedded('c-shared', '1.27');
    const [built = ''] = args;
    const library = join(folder, 'park.so');
    copyFileSync(built, library);
    const start = { args: [library], signal: 'SIGSEGV' } as const;
    const { core: whole } = await crash(t, path, { ...start, filter: WHOLE });
    const { core: lean } = await crash(t, path, { ...start, filter: LEAN });
    const before = readCore(whole);
    t.match(before, { warnings: [], goroutines: { length: Number } });
    for (const [name, told] of [
      [await buildGo(MANY), /park\.so is not the library of the core: its build ids differ/],
      ['/dev/null', /park\.so is not a regular file/],
    ] as const) {
      rmSync(library);
      symlinkSync(name, library);
      const { goroutines, warnings } = readCore(whole);
      t.same(goroutines, before.goroutines);
      t.match(warnings, [told]);
      t.match(await gospy(['summary', lean]), { code: 5, stdout: '', stderr: told });
    }
    rmSync(library);
    t.same(readCore(whole), before, 'nothing is said of a library that is not there and not needed');
    t.match(await gospy(['summary', lean]), { code: 5, stderr: /its library .*park\.so was not found.*--debug-dir/ });
  });
}

function goroutinesIn(json: string): unknown {
  return (JSON.parse(json) as { goroutines: unknown }).goroutines;
}
