import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Arch } from '../../snapshots/arch.js';
import { cacheFolder, goRoot } from '../support/go-build.js';
import { withLock } from '../support/lock.js';

const run = promisify(execFile);

export const PROBE = fileURLToPath(new URL('../../../test/layouts/probe/main.go', import.meta.url));

/** Builds the probe with an exact Go release, which is downloaded where it is missing, and returns its path. */
export async function buildProbe(release: string, arch: Arch): Promise<string> {
  const source = readFileSync(PROBE);
  const key = createHash('sha256').update(source).digest('hex').slice(0, 16);
  const folder = join(cacheFolder(), `probe-${release}-${arch}-${key}`);
  const program = join(folder, 'probe');
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'lock'), async () => {
    if (existsSync(program)) return;
    writeFileSync(join(folder, 'go.mod'), 'module probe\n');
    writeFileSync(join(folder, 'main.go'), source);
    const unfinished = `${program}.${process.pid}`;
    const fixed = { GOROOT: '', GOENV: 'off', GOFLAGS: '', GOWORK: 'off', GO111MODULE: 'on', GOTOOLCHAIN: 'local' };
    const env = { ...process.env, ...fixed, CGO_ENABLED: '0', GOARCH: arch };
    await run(join(await goRoot(release), 'bin', 'go'), ['build', '-o', unfinished, '.'], { cwd: folder, env });
    renameSync(unfinished, program);
  });
  return program;
}

/** The source of a Go release: the folder src of its GOROOT. */
export class GoSource {
  readonly #src: string;

  constructor(root: string) {
    this.#src = join(root, 'src');
  }

  /** The text of a file by its path in src; empty where there is no such file. */
  text(path: string): string {
    const file = join(this.#src, path);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /**
   * The source of a function, or of a method of any type, from its name to its closing brace, without comments; empty
   * where the file does not have it.
   */
  functionText(path: string, name: string): string {
    const match = new RegExp(`^func (?:\\([^)]*\\) )?(${name}\\([^]*?^\\})`, 'm').exec(this.text(path));
    return (match?.[1] ?? '').replaceAll(/\s*\/\/.*/g, '');
  }

  /** The number that one of the files gives a constant; null where none does. */
  constant(name: string, ...paths: readonly string[]): number | null {
    const pattern = new RegExp(`^\\s*_?${name}\\s*=\\s*(0x[0-9a-f]+|\\d+)`, 'm');
    for (const path of paths) {
      const match = pattern.exec(this.text(path));
      if (match?.[1] !== undefined) return Number(match[1]);
    }
    return null;
  }

  /** The names of the constants from `first`, which is iota, up to one that has a value of its own. */
  enumeration(path: string, first: string): string[] {
    const lines = this.text(path).split('\n');
    const start = lines.findIndex((line) => new RegExp(`^\\s*${first}\\s*=\\s*iota\\b`).test(line));
    const names = [first];
    for (const line of start < 0 ? [] : lines.slice(start + 1)) {
      const code = line.replace(/\/\/.*/, '').trim();
      if (code === '') continue;
      if (!/^\w+$/.test(code)) break;
      names.push(code);
    }
    return start < 0 ? [] : names;
  }
}
