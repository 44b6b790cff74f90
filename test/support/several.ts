import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildGo, startGo, type GoProcess } from './go.js';
import { temporaryFolder } from './gsp.js';
import { SEVERAL } from './releases.js';
import { parseTraceback, type TracedGoroutine } from './traceback.js';

type Test = Parameters<typeof startGo>[0];

const C_HOST = fileURLToPath(new URL('../../../test/fixtures/chost/several.c', import.meta.url));

/** A process with several Go runtimes. */
export interface SeveralRuntimes {
  readonly program: GoProcess;
  /** The executable. */
  readonly path: string;
  /** The files with a Go runtime, by the number that the program gives them: 0 is the executable, if it is a Go program. */
  readonly files: ReadonlyMap<number, string>;
  /** Has each runtime print all its goroutines; returns what each printed, by file. */
  readonly tracebacks: () => Promise<ReadonlyMap<string, TracedGoroutine[]>>;
}

/** The libraries, under names of their own in a folder of the test. `again` is a copy of `new`. */
export async function severalLibraries(t: Test): Promise<Readonly<Record<'old' | 'new' | 'again', string>>> {
  const folder = temporaryFolder(t);
  const [oldLibrary, newLibrary] = await Promise.all([SEVERAL.oldLibrary, SEVERAL.newLibrary].map(buildGo));
  const paths = { old: join(folder, 'old.so'), new: join(folder, 'new.so'), again: join(folder, 'again.so') };
  copyFileSync(oldLibrary ?? '', paths.old);
  copyFileSync(newLibrary ?? '', paths.new);
  copyFileSync(newLibrary ?? '', paths.again);
  return paths;
}

/** Starts the Go program, which loads `libraries`; `more` are further arguments of it. */
export async function startGoHost(
  t: Test,
  libraries: readonly string[],
  more: readonly string[] = [],
): Promise<SeveralRuntimes> {
  return start(t, await buildGo(SEVERAL.host), libraries, more, true);
}

/** Starts a C program that loads `libraries`. */
export async function startCHost(t: Test, libraries: readonly string[]): Promise<SeveralRuntimes> {
  const version = createHash('sha256').update(readFileSync(C_HOST)).digest('hex').slice(0, 16);
  const path = join(dirname(await buildGo(SEVERAL.newLibrary)), `c-host-${version}`);
  if (!existsSync(path)) {
    const unfinished = `${path}.${process.pid}`;
    await promisify(execFile)('gcc', ['-g', '-o', unfinished, C_HOST, '-ldl']);
    renameSync(unfinished, path);
  }
  return start(t, path, libraries, [], false);
}

async function start(
  t: Test,
  path: string,
  libraries: readonly string[],
  more: readonly string[],
  isGo: boolean,
): Promise<SeveralRuntimes> {
  const program = await startGo(t, path, { args: [...libraries, ...more] });
  const files = new Map(libraries.map((library, i) => [i + 1, library]));
  if (isGo) files.set(0, path);
  const prefix = join(temporaryFolder(t), basename(path));
  const tracebacks = async (): Promise<Map<string, TracedGoroutine[]>> => {
    await program.ask(prefix);
    return new Map([...files].map(([i, file]) => [file, parseTraceback(readFileSync(`${prefix}.${i}`, 'utf8'))]));
  };
  return { program, path, files, tracebacks };
}
