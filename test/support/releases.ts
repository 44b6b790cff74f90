import { FULL_SIZE } from './full-size.js';

/** An exact patch release of each Go minor that gospy reads. */
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
 * The ways to link that change the layout of a program in its file and in memory. `cgo` links externally, with the C code
 * of the fixture; the others have no C code.
 */
export const LINKS = ['plain', 'stripped', 'pie', 'stripped-pie', 'cgo'] as const;
export type Link = (typeof LINKS)[number];

type OfWork = 'working' | 'broker' | 'decoders' | 'rpc' | 'hammered';
type OfWaits = 'locks' | 'modules' | 'flow' | 'defers' | 'ownlocks' | 'stuck' | 'alike';

/** A folder of test/fixtures. */
export type Fixture =
  | OfWork
  | OfWaits
  | 'allwaits'
  | 'park'
  | 'many'
  | 'busy'
  | 'pairs'
  | 'churn'
  | 'steps'
  | 'spin'
  | 'pluginhost'
  | 'profiled'
  | 'readtraceback'
  | 'several'
  | 'crash'
  | 'crowd'
  | 'cthreads'
  | 'uring'
  | 'host'
  | 'plugged'
  | 'leaks'
  | 'odd'
  | 'planted'
  | 'servers'
  | 'typed';

/** A release of garble (mvdan.cc/garble), which wants a certain release of Go, and its flags. */
export interface Garble {
  readonly version: string;
  readonly flags?: readonly string[];
}

/** One program to build. */
export interface Cell {
  readonly fixture: Fixture;
  readonly release: Release;
  readonly link: Link;
  /** Further arguments of `go build`. */
  readonly args?: readonly string[];
  /** A module that the program imports, with its version. */
  readonly requires?: string;
  /** The CPU to build for, if it is not that of this machine. */
  readonly arch?: 'arm64';
  /** GOEXPERIMENT. */
  readonly experiment?: string;
  /** Files of the fixture that are not built. */
  readonly leaveOut?: readonly string[];
  /** Builds with garble, which obfuscates programs. */
  readonly garble?: Garble;
  /** A text in the source and its replacement, which make a slightly different program. */
  readonly replace?: readonly [from: string, to: string];
}

/** The releases that are tested with every way to link: each changed something that gospy reads. */
export const TESTED_RELEASES = ['1.12', '1.15', '1.17', '1.19', '1.21', '1.23', '1.24', '1.26', '1.27'] as const;

/** The `park` programs that tests run. `npm run test:all` has every release with every way to link. */
export const PARK_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], TESTED_RELEASES).flatMap(
  (release) => LINKS.map((link): Cell => ({ fixture: 'park', release, link })),
);

/** Returns `all` under `npm run test:all`, else `some`. */
export function ofAll<const T>(all: readonly T[], some: readonly T[]): readonly T[] {
  return FULL_SIZE ? all : some;
}

/** `park`, for what is told of arguments beyond what tracebacks print. */
export const ARGUMENTS_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  ...(['1.12', '1.17', '1.21', '1.27'] as const),
]).map((release): Cell => ({ fixture: 'park', release, link: 'stripped' }));

/** Programs that are stepped through: arguments on the stack and in registers, all kinds of panics, and C code. */
export const STEPS_CELLS: readonly Cell[] = [
  ...(['1.12', '1.17', '1.21', '1.27'] as const).map((release): Cell => ({
    fixture: 'steps',
    release,
    link: 'stripped',
  })),
  { fixture: 'steps', release: '1.26', link: 'cgo' },
];

/** `park` built with other options of `go build`. */
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

/** Builds in which the Go runtime is part of another executable, or has more than one module. */
export type Embedding = 'c-shared' | 'c-archive' | 'plugin';

/**
 * The tested builds of Go code in other programs. Before Go 1.17, the runtime cannot print its goroutines if the first
 * thread, which gets the signal, is locked to a goroutine that C has called.
 */
export const EMBEDDED: readonly { readonly embedding: Embedding; readonly release: Release }[] = [
  ...ofAll(['1.17', '1.22', '1.27'], ['1.17', '1.27']).flatMap((release) =>
    (['c-shared', 'c-archive'] as const).map((embedding) => ({ embedding, release })),
  ),
  ...ofAll(['1.17', '1.22', '1.27'], ['1.27']).map((release) => ({ embedding: 'plugin' as const, release })),
];

/** Returns `park` as a library, and for a plugin also the Go program that loads it. */
export function embeddedCells(embedding: Embedding, release: Release): Cell[] {
  const args = [`-buildmode=${embedding}`, '-tags=callbacks library'];
  const library: Cell = { fixture: 'park', release, link: 'cgo', args };
  return embedding === 'plugin' ? [library, { fixture: 'pluginhost', release, link: 'cgo' }] : [library];
}

/** Many threads in C code. */
export const CTHREADS_CELL: Cell = { fixture: 'cthreads', release: '1.26', link: 'cgo' };
/** Threads of the kernel's that do I/O. */
export const URING_CELL: Cell = { fixture: 'uring', release: '1.26', link: 'stripped' };
/** A Go program, and libraries for it and for a C program, each with a Go runtime of its own. */
export const SEVERAL = {
  host: { fixture: 'several', release: '1.26', link: 'cgo' },
  oldLibrary: { fixture: 'several', release: '1.19', link: 'cgo', args: ['-buildmode=c-shared'] },
  newLibrary: { fixture: 'several', release: '1.26', link: 'cgo', args: ['-buildmode=c-shared'] },
} as const satisfies Record<string, Cell>;

/** Programs that defer calls in loops, so that their records lie in the heap. */
export const DEFERS_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  ...(['1.12', '1.13', '1.22', '1.27'] as const),
]).map((release): Cell => ({ fixture: 'defers', release, link: 'stripped' }));

/** Programs whose goroutines stand in the same places and differ in what these lead to. Labels are a map before Go 1.24. */
export const ALIKE_CELLS: readonly Cell[] = (['1.19', '1.26'] as const).map((release) => ({
  ...{ fixture: 'alike', release, link: 'stripped' },
}));

/** Programs with a text of their own between the records of the runtime. */
export const PLANTED_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  ...(['1.12', '1.17', '1.22', '1.27'] as const),
]).map((release): Cell => ({ fixture: 'planted', release, link: 'stripped' }));

/** Programs that are captured while they run. */
export const SPIN_CELLS: readonly Cell[] = [
  ...(['1.12', '1.17', '1.22', '1.27'] as const).map((release): Cell => ({
    fixture: 'spin',
    release,
    link: 'stripped',
  })),
  { fixture: 'spin', release: '1.12', link: 'cgo' },
  { fixture: 'spin', release: '1.26', link: 'cgo' },
];

/** Programs under the race detector, by Go's own linker and by the system's. */
export const RACE_CELLS: readonly Cell[] = [
  { fixture: 'spin', release: '1.12', link: 'plain', args: ['-race'] },
  { fixture: 'spin', release: '1.26', link: 'plain', args: ['-race'] },
  { fixture: 'spin', release: '1.22', link: 'cgo', args: ['-race'] },
  { fixture: 'spin', release: '1.26', link: 'cgo', args: ['-asan'] },
];

/** The program that reads tracebacks with panicparse. */
export const PANICPARSE_CELL: Cell = {
  ...{ fixture: 'readtraceback', release: '1.26', link: 'plain', args: ['-mod=mod'] },
  requires: 'github.com/maruel/panicparse/v2 v2.5.0',
};

/** Programs that serve their own profiles. Labels are a map before Go 1.24 and a list since. */
export const PROFILED_CELLS: readonly Cell[] = (['1.19', '1.23', '1.24', '1.27'] as const).map((release) => ({
  ...{ fixture: 'profiled', release, link: 'stripped' },
}));

/** `park` for arm64, which an emulator runs. */
export const PARK_ARM64_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  '1.12',
  '1.17',
  '1.21',
  '1.27',
]).flatMap((release) =>
  (['plain', 'stripped'] as const).map((link): Cell => ({ fixture: 'park', release, link, arch: 'arm64' })),
);

/** The releases on which builds of the same source are recognized: in each, the linker changed the layout of programs. */
export const SAME_CODE_RELEASES = ['1.12', '1.17', '1.19', '1.21', '1.26', '1.27'] as const;

/** `park` with C code, linked externally and stripped. */
export function strippedCgo(release: Release): Cell {
  return { fixture: 'park', release, link: 'cgo', args: ['-ldflags=-linkmode=external -s -w'] };
}

/** Changes to `many` that replace only a number, and only an operator. */
export const CHANGES = [
  ['50 * time.Millisecond', '51 * time.Millisecond'],
  ['return receiver(depth-1) + int', 'return receiver(depth-1) - int'],
] as const;

/** The releases that are also built for arm64: loads and stores have the offsets of data in one of them only. */
export const ARM64_RELEASES = ['1.21', '1.26'] as const;

/** Programs that never rest, of releases that differ in how they show whether a goroutine has run. */
export const BUSY_CELLS: readonly Cell[] = (['1.15', '1.21', '1.26'] as const).map((release) => ({
  fixture: 'busy',
  release,
  link: 'stripped',
}));

/** Programs nearly all of whose goroutines move, of releases that differ in what a goroutine waits in and in its labels. */
export const PAIRS_CELLS: readonly Cell[] = ofAll(
  ['1.12', '1.15', '1.21', '1.26', '1.27'],
  ['1.12', '1.21', '1.26'],
).map((release) => ({ fixture: 'pairs', release, link: 'stripped' }));

/** A program whose threads, goroutines, Ps and mappings change: of releases that differ in how the runtime counts runs. */
export const CHURN = {
  now: { fixture: 'churn', release: '1.26', link: 'stripped' },
  old: { fixture: 'churn', release: '1.16', link: 'stripped' },
  cgo: { fixture: 'churn', release: '1.26', link: 'cgo' },
} as const satisfies Record<string, Cell>;

/** Programs with goroutines that nothing can wake: of releases that differ in what the runtime keeps of waits and of the heap. */
export const LEAKS_CELLS: readonly Cell[] = [
  ...ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.17', '1.22', '1.27']).map((release): Cell => ({
    fixture: 'leaks',
    release,
    link: 'stripped',
  })),
  // The experiment has the whole standard library compiled anew.
  ...ofAll(['1.26'], []).map((release): Cell => ({
    ...{ fixture: 'leaks', release, link: 'pie', experiment: 'goroutineleakprofile' },
  })),
];

/** The same with a symbol table, which names its variables. */
export const LEAKS_NAMED_CELL: Cell = { fixture: 'leaks', release: '1.27', link: 'plain' };

/** Servers and pools that leak nothing. */
export const SERVERS_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], ['1.17', '1.27']).map(
  (release): Cell => ({ fixture: 'servers', release, link: 'stripped' }),
);

/** Returns `many` for arm64. */
export function manyArm64(release: Release, link: Link): Cell {
  return { fixture: 'many', release, link, arch: 'arm64' };
}

/** `flow` of a release with g.trackingSeq, of one without, and of a build in which all lines lie further down. */
export const FLOW = {
  now: { fixture: 'flow', release: '1.26', link: 'stripped' },
  old: { fixture: 'flow', release: '1.15', link: 'plain' },
  rebuilt: {
    ...{ fixture: 'flow', release: '1.27', link: 'plain' },
    replace: ['// settle gives', '// This line was added.\n//\n// settle gives'],
  },
} as const satisfies Record<string, Cell>;
export const FLOW_CELLS: readonly Cell[] = Object.values(FLOW);

/** `park` built by garble, whose v0.18.0 fails at loops over functions. */
export const GARBLE_CELLS: readonly (Cell & { readonly garble: Garble })[] = [
  ...[garbled('1.26', 'v0.17.0')],
  ...ofAll(['1.27'], []).flatMap((release) => [
    garbled('1.26', 'v0.17.0', '-tiny'),
    garbled('1.26', 'v0.17.0', '-literals', '-seed=random'),
    garbled('1.24', 'v0.14.2'),
    garbled('1.24', 'v0.14.2', '-tiny'),
    garbled('1.22', 'v0.12.1'),
    garbled('1.20', 'v0.10.1'),
    { ...garbled(release, 'v0.18.0'), leaveOut: ['iterators_go123.go'] },
    { ...garbled(release, 'v0.18.0', '-tiny'), leaveOut: ['iterators_go123.go'] },
  ]),
];

function garbled(release: Release, version: string, ...flags: readonly string[]): Cell & { readonly garble: Garble } {
  return { fixture: 'park', release, link: 'plain', garble: { version, flags } };
}

/** A program that leaves a core. */
export interface CoreProgram {
  readonly cell: Cell;
  readonly args: readonly string[];
  /** Ends the program once it is ready. Without it, the program crashes by itself. */
  readonly signal?: NodeJS.Signals;
  /** The plugin that is passed to it as an argument. */
  readonly plugin?: Cell;
  /** Returns the crash that gospy has to report, from what the program wrote last. */
  readonly fault?: (stderr: string) => { readonly signal: string; readonly goid: number | null };
}

/** A program prints the goroutine at fault first. */
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

/** Programs whose cores Delve reads too: labels, deep stacks, inlining, cgo, a plugin, panics, a deadlock, running goroutines. */
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

/** Programs that crash in C code, or by a signal that another process sends. */
export const CRASH_CELLS: readonly Cell[] = [
  ...(['1.12', '1.19', '1.26'] as const).map((release): Cell => ({ fixture: 'crash', release, link: 'cgo' })),
  { fixture: 'crash', release: '1.22', link: 'plain' },
];

/** Returns a name such as `crash go1.26 plain panic`. */
export function coreProgramName({ cell, args }: CoreProgram): string {
  return [cellName(cell), ...args].join(' ');
}

/** Returns a name such as `park go1.26 stripped-pie`, for test names and progress. */
export function cellName(cell: Cell): string {
  const garble = cell.garble === undefined ? [] : ['garble', cell.garble.version, ...(cell.garble.flags ?? [])];
  const experiment = cell.experiment === undefined ? [] : [cell.experiment];
  return [`${cell.fixture} go${cell.release} ${cell.link}`, ...garble, ...experiment, ...(cell.args ?? [])].join(' ');
}
