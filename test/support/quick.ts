import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../', import.meta.url));

/** What tests import that start Go or C programs or a browser, which needs compilers, packages or the right to trace. */
const STARTS_PROGRAMS = new Set(
  [
    ...['test/support/go.js', 'test/support/debian.js', 'test/support/browser.js'],
    ...['test/src/go-target.js', 'test/capture/targets.js'],
  ].map((name) => join(DIST, name)),
);
/** Starts esbuild through the command itself. */
const OTHERS = new Set([join(DIST, 'test/src/demo.test.js')]);

/** For one file, on a busy machine. */
const TIMEOUT_SECONDS = '300';

/** Files that a module imports by relative paths, found in its text. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/\b(?:from|import) ?\(?'(\.[^']+\.js)'/g)].map(([, path = '']) => join(dirname(file), path));
}

/** True where a module, or one that it imports, starts programs. */
function startsPrograms(file: string, seen = new Set<string>()): boolean {
  if (STARTS_PROGRAMS.has(file)) return true;
  seen.add(file);
  return importsOf(file).some((path) => !seen.has(path) && startsPrograms(path, seen));
}

function quickTests(): string[] {
  return readdirSync(join(DIST, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(DIST, 'test', name))
    .filter((file) => !OTHERS.has(file) && !startsPrograms(file))
    .sort();
}

/** Runs one test file without tap's runner, which takes twice as long. Returns whether it passed; prints it if not. */
async function passes(file: string): Promise<boolean> {
  const env = { ...process.env, TAP_TIMEOUT: TIMEOUT_SECONDS };
  const child = spawn(process.execPath, ['--enable-source-maps', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  const name = relative(DIST, file);
  process.stdout.write(code === 0 ? `${name}\n` : `${output}\n${name}: failed\n`);
  return code === 0;
}

/** Runs the tests that need nothing but Node, as many at a time as there are CPUs. */
async function runQuickTests(): Promise<void> {
  const waiting = quickTests();
  const count = waiting.length;
  let failed = 0;
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) if (!(await passes(file))) failed++;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  process.stdout.write(`${count - failed} of ${count} files passed\n`);
  process.exitCode = failed === 0 && count > 0 ? 0 : 1;
}

await runQuickTests();
