import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withLock } from './lock.js';
import { cellName, RELEASES, type Cell, type Fixture, type Garble, type Link, type Release } from './releases.js';

const run = promisify(execFile);

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/', import.meta.url));

/** Fixtures that say what their goroutines do: the files of `shared` are part of them. */
const SAYING: ReadonlySet<Fixture> = new Set<Fixture>(['decoders', 'working', 'typed', 'rpc']);

/** The checksums of the modules that a fixture imports. */
const SUMS = 'go.sum';

const LINK_ARGS: Readonly<Record<Link, readonly string[]>> = {
  plain: [],
  stripped: ['-ldflags=-s -w'],
  pie: ['-buildmode=pie'],
  'stripped-pie': ['-buildmode=pie', '-ldflags=-s -w'],
  cgo: ['-tags=callbacks', '-ldflags=-linkmode=external'],
};

/**
 * Builds a fixture with a Go release and a way to link, unless it is in the cache. Returns the path of the program. The
 * first use of a release downloads its toolchain. Any number of processes may build at the same time.
 */
export async function buildGo(cell: Cell): Promise<string> {
  const sources = readSources(cell);
  const modules = readModules(cell);
  const args = [...LINK_ARGS[cell.link], ...(cell.args ?? [])];
  const cgo = needsCgo(cell);
  const key = createHash('sha256')
    .update(
      JSON.stringify([
        ...[sources, RELEASES[cell.release], args, cgo],
        ...[cell.arch, cell.garble, cell.experiment].filter((part) => part !== undefined),
        ...modules,
      ]),
    )
    .digest('hex')
    .slice(0, 16);
  const folder = join(cacheFolder(), `${cell.fixture}-${RELEASES[cell.release]}-${cell.link}-${key}`);
  const program = join(folder, cell.fixture);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'lock'), async () => {
    if (existsSync(program)) return;
    const requires = cell.requires === undefined ? '' : `\nrequire ${cell.requires}\n`;
    writeFileSync(join(folder, 'go.mod'), `module ${cell.fixture}\n\ngo ${cell.release}\n${requires}`);
    for (const [name, text] of [...sources, ...modules]) writeFileSync(join(folder, name), text);
    const unfinished = `${program}.${process.pid}`;
    // garble obfuscates packages, and not files that are named.
    const files = cell.garble === undefined ? sources.map(([name]) => name).filter((name) => name !== SUMS) : [];
    await goBuild(cell, folder, cgo, [...args, '-o', unfinished, ...files]);
    renameSync(unfinished, program);
  });
  return program;
}

/** Returns the folder in which built programs are kept between runs: `gospy-test` in the user's cache folder. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base === undefined || base === '' ? join(homedir(), '.cache') : base, 'gospy-test');
}

/**
 * Returns the Go source files of a fixture, by name, and the checksums of modules. Files named `_go1NN.go` are left out for releases
 * before 1.NN, `_cgo.go` for programs without C code, and `_race.go` for those without the race detector: build tags are not enough,
 * because old releases resolve imports of excluded files, and files that are named are built whatever their tags say.
 */
function readSources(cell: Cell): [name: string, text: string][] {
  const folders = [cell.fixture, ...(SAYING.has(cell.fixture) ? ['shared'] : [])].map((name) => join(FIXTURES, name));
  const sources = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter(
        (name) => name === SUMS || (name.endsWith('.go') && fits(name, cell) && cell.leaveOut?.includes(name) !== true),
      )
      .sort()
      .map((name): [string, string] => [name, readFileSync(join(folder, name), 'utf8')]),
  );
  const { replace } = cell;
  if (replace === undefined) return sources;
  const [from, to] = replace;
  if (!sources.some(([, text]) => text.includes(from))) throw new Error(`${cell.fixture} has no ${from} to replace`);
  return sources.map(([name, text]) => [name, text.replace(from, () => to)]);
}

/** The go.mod and go.sum of a fixture that imports modules, by name. */
function readModules({ fixture }: Cell): [name: string, text: string][] {
  return ['go.mod', 'go.sum']
    .map((name) => [name, join(FIXTURES, fixture, name)] as const)
    .filter(([, path]) => existsSync(path))
    .map(([name, path]) => [name, readFileSync(path, 'utf8')]);
}

function fits(name: string, cell: Cell): boolean {
  const since = /_go1(\d\d)\.go$/.exec(name)?.[1];
  if (since !== undefined) return minorOf(cell.release) >= Number(since);
  if (name.endsWith('_race.go')) return cell.args?.includes('-race') === true;
  return cell.link === 'cgo' || !name.endsWith('_cgo.go');
}

function minorOf(release: Release): number {
  return Number(release.slice(2));
}

/** The race detector needs cgo; so do position-independent programs before Go 1.15, which the system's linker links. */
function needsCgo(cell: Cell): boolean {
  if (cell.args?.includes('-race') === true) return true;
  return cell.link === 'cgo' || (cell.link.endsWith('pie') && minorOf(cell.release) < 15);
}

async function goBuild(cell: Cell, folder: string, cgo: boolean, args: readonly string[]): Promise<void> {
  try {
    if (cell.garble === undefined) {
      await runGo(cell.release, ['build', ...args], folder, {
        ...{ CGO_ENABLED: cgo ? '1' : '0', GOARCH: cell.arch ?? '', GOEXPERIMENT: cell.experiment ?? '' },
      });
    } else {
      await runGarble(cell.release, cell.garble, folder, args);
    }
  } catch (error) {
    throw new Error(`building ${cellName(cell)} failed in ${folder}: ${String(error)}`, { cause: error });
  }
}

/** Runs the go command of a release in a folder, without the user's settings, which old releases may not understand. */
export async function runGo(
  release: Release,
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const go = join(await goRoot(RELEASES[release]), 'bin', 'go');
  const settings = { GOTOOLCHAIN: 'local', GOROOT: '', GO111MODULE: 'on', GOWORK: 'off', GOENV: 'off', GOFLAGS: '' };
  await run(go, args, { cwd: folder, env: { ...process.env, ...settings, ...env }, maxBuffer: 1 << 24 });
}

const roots = new Map<string, Promise<string>>();

/** Returns the GOROOT of an exact release. The go command on PATH downloads it if it is missing. */
export function goRoot(release: string): Promise<string> {
  const known = roots.get(release);
  if (known !== undefined) return known;
  const env = { ...process.env, GOTOOLCHAIN: `go${release}`, GO111MODULE: 'on' };
  const root = run('go', ['env', 'GOROOT'], { cwd: tmpdir(), env }).then(({ stdout }) => stdout.trim());
  roots.set(release, root);
  return root;
}

/** Builds the package in a folder with a release of garble, which is built first unless it is in the cache. */
async function runGarble(release: Release, garble: Garble, folder: string, args: readonly string[]): Promise<void> {
  const root = await ownGoRoot(RELEASES[release]);
  const env = {
    ...process.env,
    ...{ GOROOT: root, GOTOOLCHAIN: 'local', GO111MODULE: 'on', GOWORK: 'off', GOENV: 'off', GOFLAGS: '' },
    ...{ CGO_ENABLED: '0', PATH: `${join(root, 'bin')}:${process.env['PATH'] ?? ''}` },
    GARBLE_CACHE: join(cacheFolder(), 'garble'),
  };
  const bin = join(cacheFolder(), `bin-garble-${garble.version}-${RELEASES[release]}`);
  const command = join(bin, 'garble');
  mkdirSync(bin, { recursive: true });
  await withLock(join(bin, 'lock'), async () => {
    if (existsSync(command)) return;
    await run('go', ['install', `mvdan.cc/garble@${garble.version}`], { env: { ...env, GOBIN: bin } });
  });
  await run(command, [...(garble.flags ?? []), 'build', ...args], { cwd: folder, env, maxBuffer: 1 << 24 });
}

/** The GOROOT of an exact release outside of the module cache, where garble cannot build the standard library anew. */
async function ownGoRoot(release: string): Promise<string> {
  const root = await goRoot(release);
  if (!root.includes('/golang.org/toolchain@')) return root;
  const copy = join(cacheFolder(), `goroot-${release}`);
  await withLock(`${copy}.lock`, async () => {
    if (existsSync(copy)) return;
    const unfinished = `${copy}.${process.pid}`;
    rmSync(unfinished, { recursive: true, force: true });
    await cp(root, unfinished, { recursive: true });
    renameSync(unfinished, copy);
  });
  return copy;
}
