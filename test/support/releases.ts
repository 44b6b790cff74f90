/** One exact patch release for each Go minor that gospy reads. */
export const RELEASES = {
  '1.12': '1.12.17',
  '1.13': '1.13.15',
  '1.14': '1.14.15',
  '1.15': '1.15.15',
  '1.16': '1.16.15',
  '1.17': '1.17.13',
  '1.18': '1.18.10',
  '1.19': '1.19.13',
  '1.20': '1.20.14',
  '1.21': '1.21.13',
  '1.22': '1.22.12',
  '1.23': '1.23.12',
  '1.24': '1.24.13',
  '1.25': '1.25.12',
  '1.26': '1.26.8',
  '1.27': '1.27.3',
} as const;
export type Release = keyof typeof RELEASES;

/**
 * The ways to link that change how a program lies in its file and in memory. `cgo` links externally, with C code where
 * the fixture has some; the others have none.
 */
export const LINKS = ['plain', 'stripped', 'pie', 'stripped-pie', 'cgo'] as const;
export type Link = (typeof LINKS)[number];

/** A folder of test/fixtures. */
export type Fixture =
  | 'park'
  | 'many'
  | 'busy'
  | 'steps'
  | 'spin'
  | 'flow'
  | 'pluginhost'
  | 'profiled'
  | 'readtraceback'
  | 'crash'
  | 'host'
  | 'plugged';

/** One program to build. */
export interface Cell {
  readonly fixture: Fixture;
  readonly release: Release;
  readonly link: Link;
  /** Further arguments of `go build`. */
  readonly args?: readonly string[];
  /** A module that the program imports, with its version. */
  readonly requires?: string;
  /** The CPU to build for, where it is not this machine's. */
  readonly arch?: 'arm64';
  /** A text of the source and what to put in its place: another program, nearly the same. */
  readonly replace?: readonly [from: string, to: string];
}

/** The releases on which every way to link is tested: each one changed something that gospy reads. */
export const TESTED_RELEASES = ['1.12', '1.15', '1.17', '1.19', '1.21', '1.23', '1.24', '1.26', '1.27'] as const;

/** What the tests of the `park` fixture run over; under `npm run test:all` every release in every way to link. */
export const PARK_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], TESTED_RELEASES).flatMap(
  (release) => LINKS.map((link): Cell => ({ fixture: 'park', release, link })),
);

/** Under `npm run test:all` the first, else the second. */
function ofAll(all: readonly Release[], some: readonly Release[]): readonly Release[] {
  return process.env['GOSPY_TEST_ALL'] === '1' ? all : some;
}

/** What is stepped through: calls by stack and by register, panics of every make, and C code. */
export const STEPS_CELLS: readonly Cell[] = [
  ...(['1.12', '1.17', '1.21', '1.27'] as const).map((release): Cell => ({
    fixture: 'steps',
    release,
    link: 'stripped',
  })),
  { fixture: 'steps', release: '1.26', link: 'cgo' },
];

/** `park` as other options of `go build` make it. */
export const BUILD_CELLS: readonly Cell[] = [
  ...ofAll(['1.21', '1.27'], ['1.27']).map((release): Cell => ({
    fixture: 'park',
    release,
    link: 'cgo',
    args: ['-race'],
  })),
  ...ofAll(['1.12', '1.15', '1.19', '1.23', '1.27'], ['1.12', '1.27']).map((release): Cell => ({
    fixture: 'park',
    release,
    link: 'plain',
    args: ['-gcflags=all=-N -l'],
  })),
  ...ofAll(['1.13', '1.19', '1.27'], ['1.27']).map((release): Cell => ({
    fixture: 'park',
    release,
    link: 'plain',
    args: ['-trimpath'],
  })),
];

/** Ways in which the Go runtime is no executable of its own, or has more than one module. */

export type Embedding = 'c-shared' | 'c-archive' | 'plugin';

/**
 * What is tested of Go code within other programs. Before Go 1.17, the runtime cannot print goroutines from the first
 * thread, to which the kernel hands signals, where a goroutine is locked to it that C has called.
 */
export const EMBEDDED: readonly { readonly embedding: Embedding; readonly release: Release }[] = [
  ...ofAll(['1.17', '1.22', '1.27'], ['1.17', '1.27']).flatMap((release) =>
    (['c-shared', 'c-archive'] as const).map((embedding) => ({ embedding, release })),
  ),
  ...ofAll(['1.17', '1.22', '1.27'], ['1.27']).map((release) => ({ embedding: 'plugin' as const, release })),
];

/** `park` as a library, and the Go program that loads it where it is a plugin. */
export function embeddedCells(embedding: Embedding, release: Release): Cell[] {
  const args = [`-buildmode=${embedding}`, '-tags=callbacks library'];
  const library: Cell = { fixture: 'park', release, link: 'cgo', args };
  return embedding === 'plugin' ? [library, { fixture: 'pluginhost', release, link: 'cgo' }] : [library];
}

/** What is captured while it runs. */
export const SPIN_CELLS: readonly Cell[] = [
  ...(['1.12', '1.17', '1.22', '1.27'] as const).map((release): Cell => ({
    fixture: 'spin',
    release,
    link: 'stripped',
  })),
  { fixture: 'spin', release: '1.12', link: 'cgo' },
  { fixture: 'spin', release: '1.26', link: 'cgo' },
];

/** Reads the text of tracebacks by panicparse. */
export const PANICPARSE_CELL: Cell = {
  ...{ fixture: 'readtraceback', release: '1.26', link: 'plain', args: ['-mod=mod'] },
  requires: 'github.com/maruel/panicparse/v2 v2.5.0',
};

/** What serves its own profiles: labels are a map in one, a list in the others. */
export const PROFILED_CELLS: readonly Cell[] = (['1.19', '1.23', '1.24', '1.27'] as const).map((release) => ({
  ...{ fixture: 'profiled', release, link: 'stripped' },
}));

/** `park` for arm64, run by an emulator. */
export const PARK_ARM64_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  '1.12',
  '1.17',
  '1.21',
  '1.27',
]).flatMap((release) =>
  (['plain', 'stripped'] as const).map((link): Cell => ({ fixture: 'park', release, link, arch: 'arm64' })),
);

/** The releases on which builds of the same source are told from others: where the linker lays programs out anew. */
export const SAME_CODE_RELEASES = ['1.12', '1.17', '1.19', '1.21', '1.26', '1.27'] as const;

/** `park` with C code, linked externally and stripped. */
export function strippedCgo(release: Release): Cell {
  return { fixture: 'park', release, link: 'cgo', args: ['-ldflags=-linkmode=external -s -w'] };
}

/** `many` with nothing changed but a number, and with nothing changed but an operator. */
export const CHANGES = [
  ['50 * time.Millisecond', '51 * time.Millisecond'],
  ['return receiver(depth-1) + int', 'return receiver(depth-1) - int'],
] as const;

/** The releases that are also built for arm64: with and without the offsets of data in its loads and stores. */
export const ARM64_RELEASES = ['1.21', '1.26'] as const;

/** Programs that never rest, of releases that tell whether a goroutine has run in three ways. */
export const BUSY_CELLS: readonly Cell[] = (['1.15', '1.21', '1.26'] as const).map((release) => ({
  fixture: 'busy',
  release,
  link: 'stripped',
}));

/** `many` for arm64, which nothing here can run. */
export function manyArm64(release: Release, link: Link): Cell {
  return { fixture: 'many', release, link, arch: 'arm64' };
}

/** `flow` before and after g.trackingSeq came, and once more as another build with all lines further down. */
export const FLOW = {
  now: { fixture: 'flow', release: '1.26', link: 'stripped' },
  old: { fixture: 'flow', release: '1.15', link: 'plain' },
  rebuilt: {
    ...{ fixture: 'flow', release: '1.27', link: 'plain' },
    replace: ['// settle gives', '// This line was added.\n//\n// settle gives'],
  },
} as const satisfies Record<string, Cell>;
const FLOW_CELLS: readonly Cell[] = Object.values(FLOW);

/** A program that is made to leave a core. */
export interface CoreProgram {
  readonly cell: Cell;
  readonly args: readonly string[];
  /** What ends it once it is ready; without it, it crashes by itself. */
  readonly signal?: NodeJS.Signals;
  /** The plugin that is its argument. */
  readonly plugin?: Cell;
  /** The crash that must be told, as the program's own last words have it. */
  readonly fault?: (stderr: string) => { readonly signal: string; readonly goid: number | null };
}

/** The first goroutine that a program prints is the one at fault. */
const faulting = (signal: string) => (stderr: string) => {
  const goid = Number(/^goroutine (\d+) /m.exec(stderr)?.[1] ?? 0);
  return { signal, goid: goid === 0 ? null : goid };
};

const crashed = (how: string, signal: string): CoreProgram => ({
  cell: { fixture: 'crash', release: '1.26', link: 'plain' },
  args: [how],
  fault: faulting(signal),
});

const aborted = (release: Release, link: Link): CoreProgram => ({
  cell: { fixture: 'park', release, link },
  args: [],
  signal: 'SIGABRT',
});

/** What Delve is held beside: labels, deep stacks, inlining, cgo, a plugin, panics, deadlock, running goroutines. */
export const CORE_PROGRAMS: readonly CoreProgram[] = [
  ...['panic', 'fatal'].map((how) => crashed(how, 'SIGABRT')),
  crashed('nil', 'SIGSEGV'),
  { ...crashed('deadlock', 'SIGABRT'), fault: () => ({ signal: 'SIGABRT', goid: null }) },
  ...['running', 'abort'].map((how): CoreProgram => {
    return { cell: { fixture: 'crash', release: '1.26', link: 'plain' }, args: [how], signal: 'SIGABRT' };
  }),
  ...(['plain', 'pie', 'cgo'] as const).map((link) => aborted('1.26', link)),
  ...(['1.21', '1.24', '1.27'] as const).map((release) => aborted(release, 'plain')),
  {
    cell: { fixture: 'host', release: '1.26', link: 'cgo' },
    args: [],
    signal: 'SIGABRT',
    plugin: { fixture: 'plugged', release: '1.26', link: 'cgo', args: ['-buildmode=plugin'] },
  },
];

/** `crash go1.26 plain panic`. */
export function coreProgramName({ cell, args }: CoreProgram): string {
  return [cellName(cell), ...args].join(' ');
}

/**
 * Every program that is built before the tests run, so that none of them waits for a compiler. Neighbours differ in
 * release, so that builds side by side do not compile the same standard library twice.
 */
export const PREPARED_CELLS: readonly Cell[] = [
  ...CORE_PROGRAMS.flatMap(({ cell, plugin }) => (plugin === undefined ? [cell] : [cell, plugin])),
  ...LINKS.flatMap((link) => PARK_CELLS.filter((cell) => cell.link === link)),
  ...(['many', 'busy'] as const).flatMap((fixture) =>
    (['plain', 'stripped'] as const).map((link): Cell => ({ fixture, release: '1.26', link })),
  ),
  ...STEPS_CELLS,
  ...SPIN_CELLS,
  ...FLOW_CELLS,
  ...BUILD_CELLS,
  ...PARK_ARM64_CELLS,
  PANICPARSE_CELL,
  ...PROFILED_CELLS,
  ...EMBEDDED.flatMap(({ embedding, release }) => embeddedCells(embedding, release)),
  ...BUSY_CELLS.filter(({ release }) => release !== '1.26'),
  ...SAME_CODE_RELEASES.map(strippedCgo),
  ...CHANGES.map((replace): Cell => ({ fixture: 'many', release: '1.26', link: 'plain', replace })),
  ...(['plain', 'stripped'] as const).flatMap((link) => ARM64_RELEASES.map((release) => manyArm64(release, link))),
  ...CHANGES.flatMap((replace) => ARM64_RELEASES.map((release) => ({ ...manyArm64(release, 'plain'), replace }))),
];

/** How a cell is called in test names and progress: `park go1.26 stripped-pie`. */
export function cellName(cell: Cell): string {
  return [`${cell.fixture} go${cell.release} ${cell.link}`, ...(cell.args ?? [])].join(' ');
}
