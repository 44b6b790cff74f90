import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

/** The rules of the house that the linter cannot check. CONTRIBUTING.md explains them. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Rooms, innermost first: a room imports itself and those before it. */
const ROOMS = ['snapshots', 'analyze', 'capture', 'src'] as const;
/** Rooms in analyze/, innermost first. */
const ANALYZE = ['binary', 'runtime', 'stacks', 'match', 'waits', 'leaks', 'report'];
/** Rooms in src/, innermost first, as far as their order matters. */
const SRC = ['web', 'targets', 'query', 'export', 'commands'];
/** The only places that know ELF. */
const ELF = ['snapshots', 'analyze/match', 'analyze/binary', 'capture', 'src/targets', 'src/export'];
/** What a terminal needs: src/targets must work without it. */
const TERMINAL = ['src/io.ts', 'src/interrupt.ts', 'src/failure.ts', 'src/render', 'src/tui', 'src/commands'];
const TERMINAL_PACKAGES = ['commander', 'terminal-kit'];

const MOST_LINES = 400;
/** Folders that are not part of the repository. */
const IGNORED = new Set(['node_modules', 'dist', '.tap', '.git']);
const TEXT = /(\.(tsx?|css|js|c|go|json|md|mod|sum|sh|yml|txt|golden)|\/run|rc|ignore|config)$/;

/** Returns the paths of all files below a folder, relative to the root. */
function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (IGNORED.has(entry.name)) return [];
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const isIn = (path: string, room: string): boolean => path === room || path.startsWith(`${room}/`);

const ALL_FILES = filesBelow('');
const SOURCES = ALL_FILES.filter((path) => /\.(tsx?|c)$/.test(path));
const MODULES = SOURCES.filter((path) => /\.tsx?$/.test(path) && ROOMS.some((room) => isIn(path, room)));

interface Import {
  readonly from: string;
  /** Path of the imported file, or name of the package. */
  readonly to: string;
}

/** The source of what an import names: a module of the page may be TSX, and one that the build makes has only types. */
function sourceOf(path: string): string {
  const [name, isModule] = [path.replace(/\.js$/, ''), path.endsWith('.js')];
  const sources = isModule ? ['.ts', '.tsx', '.d.ts'].map((end) => name + end) : [path];
  return sources.find((source) => ALL_FILES.includes(source)) ?? (isModule ? `${name}.ts` : path);
}

/** Every import of every module: static, type-only and dynamic ones. */
const IMPORTS: readonly Import[] = MODULES.flatMap((from) =>
  ts.preProcessFile(read(from)).importedFiles.map(({ fileName }) => {
    const isFile = fileName.startsWith('.');
    return { from, to: isFile ? sourceOf(posix.join(dirname(from), fileName)) : fileName };
  }),
);

/** Returns the number of a path's room in a list of rooms, or -1 if it is in none of them. */
function roomOf(path: string, rooms: readonly string[], within = ''): number {
  return rooms.findIndex((room) => isIn(path, posix.join(within, room)));
}

/** Lists the imports that break a rule. */
function breaking(rule: (path: Import) => boolean): string[] {
  return IMPORTS.filter(rule).map(({ from, to }) => `${from} imports ${to}`);
}

t.test('house: every import is of a file that exists, so that the other rules see it', (t) => {
  const missing = breaking(({ to }) => roomOf(to, ROOMS) >= 0 && !existsSync(join(ROOT, to)));
  t.strictSame(missing, []);
  t.ok(IMPORTS.length > MODULES.length, `${IMPORTS.length} imports`);
  t.end();
});

t.test('house: rooms import only rooms before them', (t) => {
  t.strictSame(
    breaking(({ from, to }) => roomOf(to, ROOMS) > roomOf(from, ROOMS) || isIn(to, 'test') || isIn(to, 'bench')),
    [],
  );
  t.end();
});

t.test('house: the rooms in analyze and in src keep their order', (t) => {
  for (const [within, rooms] of [
    ['analyze', ANALYZE],
    ['src', SRC],
  ] as const) {
    const wrong = breaking(({ from, to }) => {
      const importer = roomOf(from, rooms, within);
      return importer >= 0 && roomOf(to, rooms, within) > importer;
    });
    t.strictSame(wrong, [], within);
  }
  t.end();
});

t.test('house: what the program stands on does not import the program', (t) => {
  // A file right in analyze/ that imports a room of analyze/ stands above that room.
  const above = new Set(
    IMPORTS.filter(({ from, to }) => dirname(from) === 'analyze' && roomOf(to, ANALYZE, 'analyze') >= 0).map(
      ({ from }) => from,
    ),
  );
  const below = ANALYZE.slice(0, ANALYZE.indexOf('match'));
  t.strictSame(
    breaking(({ from, to }) => roomOf(from, below, 'analyze') >= 0 && above.has(to)),
    [],
  );
  t.end();
});

t.test('house: targets are opened without a terminal', (t) => {
  const needsTerminal = (to: string): boolean => TERMINAL_PACKAGES.includes(to) || roomOf(to, TERMINAL) >= 0;
  t.strictSame(
    breaking(({ from, to }) => isIn(from, 'src/targets') && needsTerminal(to)),
    [],
  );
  t.end();
});

t.test('house: the page runs in a browser, and is given what it shows', (t) => {
  const isAllowed = (to: string): boolean =>
    isIn(to, 'src/web') ||
    isIn(to, 'analyze') ||
    to === 'src/render/text.ts' ||
    ['preact', 'preact/hooks', '@dagrejs/dagre'].includes(to);
  t.strictSame(
    breaking(({ from, to }) => isIn(from, 'src/web') && !isAllowed(to)),
    [],
  );
  const code = MODULES.filter((path) => isIn(path, 'src/web')).map((path) => ({ path, text: read(path) }));
  const withCode = code.filter(({ text }) => /^import (?!type )[^;]*analyze\//m.test(text));
  t.strictSame(
    withCode.map(({ path }) => path),
    [],
    'of the analysis it has only types',
  );
  t.end();
});

t.test('house: few rooms know ELF', (t) => {
  t.strictSame(
    breaking(({ from, to }) => isIn(to, 'snapshots/elf') && roomOf(from, ELF) < 0),
    [],
  );
  t.end();
});

/** Returns circles of imports, each as the files from the first one back to it. */
function findCircles(): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of IMPORTS) next.set(from, [...(next.get(from) ?? []), to]);
  const finished = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' -> '));
    if (start >= 0 || finished.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...path, file]);
    finished.add(file);
  };
  for (const file of MODULES) visit(file, []);
  return circles;
}

t.test('house: files do not import each other in circles', (t) => {
  t.strictSame(findCircles(), []);
  t.end();
});

t.test(`house: no file has more than ${MOST_LINES} lines`, (t) => {
  const lengths = SOURCES.map((path) => ({ path, lines: read(path).split('\n').length - 1 }));
  t.strictSame(
    lengths.filter(({ lines }) => lines > MOST_LINES).map(({ path, lines }) => `${path} has ${lines} lines`),
    [],
  );
  t.end();
});

/** Folders whose READMEs name their files. */
const DESCRIBED = [...ROOMS, 'bench'];

/** A README names what lies in its folder and in those folders below that have no README. */
function readmeOf(path: string): string | null {
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) {
    const readme = posix.join(folder, 'README.md');
    if (existsSync(join(ROOT, readme))) return readme;
  }
  return null;
}

interface NamedFile {
  readonly name: string;
  /** Paths that the name may stand for: in the README's folder, or in one that its heading or its line names. */
  readonly paths: readonly string[];
}

/** Returns the source files that a README names in backticks. */
function namedFiles(readme: string): NamedFile[] {
  const home = dirname(readme);
  let heading = '';
  return read(readme)
    .split('\n')
    .flatMap((line) => {
      if (line.startsWith('#')) heading = /[\w/-]+(?=\/)/.exec(line)?.[0] ?? '';
      const folders = [...line.matchAll(/`([\w/-]+)\/`/g)].map(([, folder = '']) => folder);
      return [...line.matchAll(/`([\w./-]+\.(?:tsx?|c))`/g)].map(([, name = '']) => ({
        name,
        paths: ['', heading, ...folders].map((folder) => posix.join(home, folder, name)),
      }));
    });
}

t.test('house: READMEs name every source file below them, and no other', (t) => {
  const described = SOURCES.filter((path) => DESCRIBED.some((room) => isIn(path, room)));
  t.strictSame(
    described.filter((path) => readmeOf(path) === null),
    [],
    'files without a README',
  );
  for (const readme of new Set(described.map(readmeOf).filter((path) => path !== null))) {
    const covered = described.filter((path) => readmeOf(path) === readme);
    const named = namedFiles(readme);
    const isNamed = (path: string): boolean => {
      const isUnique = covered.filter((other) => basename(other) === basename(path)).length === 1;
      return named.some(({ name, paths }) => paths.includes(path) || (isUnique && name === basename(path)));
    };
    t.strictSame(
      covered.filter((path) => !isNamed(path)),
      [],
      `not in ${readme}`,
    );
    const exists = ({ name, paths }: NamedFile): boolean => {
      return SOURCES.some((path) => path === name || basename(path) === name || paths.includes(path));
    };
    t.strictSame(
      named.filter((file) => !exists(file)).map(({ name }) => name),
      [],
      `in ${readme}, but not in the repository`,
    );
  }
  t.end();
});

t.test('house: no file has a path of the machine or a registry that it was written on', (t) => {
  const machine = /(^|[^\w.<-])\/(home|Users|root|work)\/\w|registry\.\w+\.\w+|proxy\.\w+\.\w+/m;
  const wrong = ALL_FILES.filter((path) => TEXT.test(path) && machine.test(read(path)));
  t.strictSame(
    wrong.filter((path) => path !== 'test/house.test.ts'),
    [],
  );
  t.notMatch(read('package-lock.json'), /"resolved":/, 'package-lock.json names no registry');
  t.end();
});
