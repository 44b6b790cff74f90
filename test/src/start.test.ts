import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { temporaryFolder } from '../support/gsp.js';
import { gospy, GOSPY } from './gospy-process.js';

/** What gospy loads before it answers, and that the bundle it is built into is the same program. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SAMPLES = join(ROOT, 'snapshots/samples');
const SAMPLE = join(SAMPLES, 'queue.gsp');
const HOOK = new URL('./load-hook.js', import.meta.url).href;
/** The same command, not bundled. */
const UNBUNDLED = join(ROOT, 'dist/src/gospy.js');

/** Names of the files that gospy loads, those of packages with their path. */
async function loadedBy(...args: string[]): Promise<{ own: string[]; packages: string[] }> {
  const NODE_OPTIONS = `${process.env['NODE_OPTIONS'] ?? ''} --import ${HOOK}`;
  const { code, stderr } = await gospy(args, { env: { NODE_OPTIONS } });
  t.equal(code, 0, stderr);
  const files = [...stderr.matchAll(/^loaded file:\/\/(.*)$/gm)]
    .map(([, path = '']) => path)
    .filter((path) => path !== fileURLToPath(HOOK));
  const isPackage = (path: string): boolean => path.includes('/node_modules/');
  const own = files.filter((path) => !isPackage(path));
  t.same([...new Set(own.map(dirname))], [dirname(GOSPY)], 'all of its own files are in one folder');
  return { own: own.map((path) => basename(path)), packages: files.filter(isPackage) };
}

t.test('start: --version loads no command', async (t) => {
  const { own, packages } = await loadedBy('--version');
  t.same(own.sort(), ['gospy.js', 'start.js']);
  t.same(packages, []);
});

t.test('start: commands that read a snapshot load neither the capture nor a package', async (t) => {
  for (const args of [['summary'], ['goroutines'], ['stacks'], ['threads'], ['info']]) {
    const { own, packages } = await loadedBy(...args, SAMPLE);
    t.ok(own.includes('read.js'), `${args.join()}: ${own.join()}`);
    t.notOk(
      own.some((name) => /^(capture|session|unpack|demo|html)/.test(name)),
      `${args.join()}: ${own.join()}`,
    );
    t.same(packages, [], args.join());
  }
});

t.test('start: the bundle answers as the modules do that it is made of', async (t) => {
  for (const name of ['queue.gsp', 'core.gz']) {
    for (const args of [['summary', '--json'], ['stacks'], ['info']]) {
      const [bundled, plain] = await Promise.all([
        gospy([...args, join(SAMPLES, name)]),
        gospy([...args, join(SAMPLES, name)], { command: UNBUNDLED }),
      ]);
      t.same(bundled, plain, `${args.join()} ${name}`);
      t.equal(bundled.code, 0, bundled.stderr);
    }
  }
});

/** Puts what is installed of the package into a folder. Returns the executable. */
function install(folder: string): string {
  for (const path of ['package.json', 'dist/gospy']) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  const executable = join(folder, 'dist/gospy/gospy.js');
  chmodSync(executable, 0o755);
  return executable;
}

t.test('start: an installed gospy needs no package to read a snapshot', async (t) => {
  const command = install(temporaryFolder(t));
  t.match(await gospy(['summary', SAMPLE], { command }), { code: 0, stdout: /^bin: .*queue, goVer: / });
  t.match(await gospy(['--version'], { command }), { code: 0, stdout: /^gospy \d/ });
  t.match(await gospy(['--help'], { command }), { code: 0, stdout: /goroutines/ });
});

t.test('start: the executable has Node run it with one thread for V8', async (t) => {
  const folder = temporaryFolder(t);
  const link = join(folder, 'gospy');
  symlinkSync(install(folder), link);
  const path = join(folder, "a 'snapshot' $HOME.gsp");
  copyFileSync(SAMPLE, path);
  const told = 'data:text/javascript,process.stderr.write(JSON.stringify(process.execArgv))';
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}`, NODE_OPTIONS: `--import ${told}` };
  for (const command of [link, 'gospy']) {
    const { stdout, stderr } = await promisify(execFile)(command, ['summary', path], { env });
    t.match(stdout, /^bin: .*queue, goVer: /);
    t.same(JSON.parse(stderr), ['--v8-pool-size=1']);
  }
});

t.test('start: a stack in the bundle names the functions of the source', async (t) => {
  const { code, stderr } = await gospy(['summary', join(temporaryFolder(t), 'no.gsp')], { env: { GOSPY_DEBUG: '1' } });
  t.equal(code, 5);
  t.match(stderr, /^ +at (async )?openTarget \(.*\/dist\/gospy\/read\.js:\d+:\d+\)$/m);
});

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

/** The packages of which a file of the bundle has modules: each begins with a comment that names its file. */
function packagesIn(file: string): string[] {
  const modules = readFileSync(file, 'utf8').matchAll(/^\/\/ node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm);
  return [...modules].map(([, name = '']) => name);
}

t.test('start: the licences of the libraries in the bundle lie beside it', (t) => {
  const text = readFileSync(join(dirname(GOSPY), 'LICENSES.txt'), 'utf8');
  const licensed = [...text.matchAll(/^(\S+) \d+\.\d+\.\d+ \(.*\)$/gm)].map(([, name = '']) => name);
  t.equal(text.match(/Permission is hereby granted/g)?.length, licensed.length);
  const bundled = readdirSync(dirname(GOSPY)).flatMap((name) => packagesIn(join(dirname(GOSPY), name)));
  for (const name of [...bundled, 'commander', 'msgpackr', 'string-width']) t.ok(licensed.includes(name), name);
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
  for (const name of licensed) t.notOk(name in dependencies, `${name} is in the bundle: to install it is of no use`);
  t.end();
});
