import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { captureToImage, type CaptureMode } from '../../capture/capture.js';
import { writeCore } from '../../snapshots/elf/core-write.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { withParts, type ProcessImage } from '../../snapshots/image.js';
import { version } from '../../src/version.js';
import { gospyHere } from '../src/gospy-here.js';
import { crash, type CrashOptions } from './cores.js';
import { runGo } from './go-build.js';
import { startGo, type GoProcess } from './go.js';
import { untilQuiet } from './quiet.js';
import type { Release } from './releases.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/', import.meta.url));
const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
/** Programs are built and run here: what a snapshot says of paths is the same wherever it was made. */
const FOLDER = '/tmp/gospy-samples';
/** All that the programs get of this machine's environment. */
const PATH = '/usr/local/bin:/usr/bin:/bin';

/** Stops what a sample started, and removes its files, once it is made. */
class Cleanups {
  readonly #ends: (() => unknown)[] = [];

  teardown(end: () => unknown): void {
    this.#ends.unshift(end);
  }

  async run(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }
}

/** How each sample is made; `out` is the file to write. The README beside the samples says what they are. */
const RECIPES: Readonly<Record<string, (t: Cleanups, out: string) => Promise<void>>> = {
  'queue.gsp': async (t, out) => {
    await capture(await start(t, await build('queue', '1.26')), out, 'stop');
  },
  'go1.12.gsp': async (t, out) => {
    await capture(await start(t, await build('sample', '1.12')), out, 'stop');
  },
  'before.gsp': async (t, out) => {
    const program = await start(t, await build('sample', '1.16'));
    await capture(program, out, 'stop');
    await program.ask('m');
    await capture(program, join(SAMPLES, 'after.gsp'), 'clone');
  },
  'torn.gsp': async (t, out) => {
    const program = await start(t, await build('sample', '1.18'));
    await program.ask('c');
    await capture(program, out, 'live');
  },
  'partial.gsp': async (t, out) => {
    const program = await start(t, await build('sample', '1.20'));
    await program.ask('c');
    await capture(program, out, 'stop', 0.001);
  },
  'labels.gsp': async (t, out) => {
    const program = await start(t, await build('sample', '1.21', { args: ['-tags=labels'] }));
    await program.ask('g');
    await capture(program, out, 'stop');
  },
  'crash.gsp': async (t, out) => {
    await distil(t, await build('sample', '1.24', { args: ['-tags=crash'] }), out, {});
  },
  'arm64.gsp': async (t, out) => {
    const program = await build('sample', '1.27', { arch: 'arm64' });
    await distil(t, program, out, { under: ['qemu-aarch64'], signal: 'SIGABRT', named: /^qemu_/ });
  },
  'core.gz': async (t, out) => {
    const { pid } = await start(t, await build('sample', '1.17'));
    const { image } = await captureToImage(pid, { mode: 'stop', writer: version() });
    const core = join(FOLDER, 'core');
    await writeCore(core, withoutFiles(image));
    writeFileSync(out, gzipSync(readFileSync(core), { level: 9 }));
  },
};

/** Builds a fixture as people build what they ship: without cgo, without a symbol table, without paths of the machine. */
async function build(
  fixture: 'queue' | 'sample',
  release: Release,
  { args = [], arch = '' }: { args?: readonly string[]; arch?: string } = {},
): Promise<string> {
  const folder = join(FOLDER, fixture);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(join(FIXTURES, fixture)))
    copyFileSync(join(FIXTURES, fixture, name), join(folder, name));
  writeFileSync(join(folder, 'go.mod'), `module example.com/${fixture}\n\ngo ${release}\n`);
  // Go 1.12 cannot trim paths, but can say another root than it has.
  const trim = release === '1.12' ? [] : ['-trimpath'];
  const env = { CGO_ENABLED: '0', GOARCH: arch, ...(release === '1.12' ? { GOROOT_FINAL: '/usr/local/go' } : {}) };
  await runGo(release, ['build', ...trim, '-ldflags=-s -w', ...args, '.'], folder, env);
  return join(folder, fixture);
}

async function start(t: Cleanups, path: string): Promise<GoProcess> {
  const program = await withBareEnvironment(() => startGo(t, path));
  await untilQuiet(program.pid);
  return program;
}

async function capture({ pid }: GoProcess, out: string, mode: CaptureMode, budgetMs?: number): Promise<void> {
  const budget = budgetMs === undefined ? {} : { budgetMs };
  const { image, groups } = await captureToImage(pid, { mode, writer: version(), ...budget });
  if (image.capture.mode !== mode) throw new Error(`${out}: mode ${mode} was refused`);
  await writeSnapshot(out, { image: onSomeHost(image), memory: groups });
  chmodSync(out, 0o644);
}

/** Nothing of the machine that the sample was made on. */
function onSomeHost(image: ProcessImage): ProcessImage {
  const { cpus, namespacePids } = image.host;
  const bootId = '01234567-89ab-4cde-8f01-23456789abcd';
  return withParts(image, { host: { hostname: 'host', kernel: '6.1.0', bootId, cpus, namespacePids } });
}

/** As of a program that was unpacked into memory: no file can lend what a core of it lacks, so the core has it all. */
function withoutFiles(image: ProcessImage): ProcessImage {
  return withParts(image, { mappings: image.mappings.map((mapping) => ({ ...mapping, path: '' })) });
}

/** Makes the program leave a core, and a snapshot of that. */
async function distil(t: Cleanups, program: string, out: string, options: CrashOptions): Promise<void> {
  const { core } = await withBareEnvironment(() => crash(t, program, options));
  const { code, stderr } = await gospyHere(['capture', '--core', core, '--bin', program, '-o', out]);
  if (code !== 0) throw new Error(`distilling ${core} failed: ${stderr}`);
  chmodSync(out, 0o644);
}

/** Programs that are started in `body` inherit a path, and nothing else. */
async function withBareEnvironment<T>(body: () => Promise<T>): Promise<T> {
  const environment = process.env;
  process.env = { PATH };
  try {
    return await body();
  } finally {
    process.env = environment;
  }
}

/** Makes the samples that are named, or all of them. */
async function makeSamples(names: readonly string[]): Promise<void> {
  for (const name of names.length === 0 ? Object.keys(RECIPES) : names) {
    const recipe = RECIPES[name];
    if (recipe === undefined) throw new Error(`there is no sample ${name}: ${Object.keys(RECIPES).join(', ')}`);
    const t = new Cleanups();
    try {
      await recipe(t, join(SAMPLES, name));
      process.stderr.write(`${name}\n`);
    } finally {
      await t.run();
      rmSync(FOLDER, { recursive: true, force: true });
    }
  }
}

await makeSamples(process.argv.slice(2));
