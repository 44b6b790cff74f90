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
export type Fixture = 'park' | 'many' | 'busy' | 'steps' | 'spin';

/** One program to build. */
export interface Cell {
  readonly fixture: Fixture;
  readonly release: Release;
  readonly link: Link;
  /** Further arguments of `go build`. */
  readonly args?: readonly string[];
  /** The CPU to build for, where it is not this machine's. */
  readonly arch?: 'arm64';
  /** A text of the source and what to put in its place: another program, nearly the same. */
  readonly replace?: readonly [from: string, to: string];
}

/** The releases on which every way to link is tested: each one changed something that gospy reads. */
export const TESTED_RELEASES = ['1.12', '1.15', '1.17', '1.19', '1.21', '1.23', '1.24', '1.26', '1.27'] as const;

/**
 * What the tests of the `park` fixture run over; every release in every way to link where the environment has
 * GOSPY_TEST_ALL, as `npm run test:all` has it.
 */
export const PARK_CELLS: readonly Cell[] = parkReleases().flatMap((release) =>
  LINKS.map((link): Cell => ({ fixture: 'park', release, link })),
);

function parkReleases(): readonly Release[] {
  return process.env['GOSPY_TEST_ALL'] === '1' ? (Object.keys(RELEASES) as Release[]) : TESTED_RELEASES;
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

/**
 * Every program that is built before the tests run, so that none of them waits for a compiler. Neighbours differ in
 * release, so that builds side by side do not compile the same standard library twice.
 */
export const PREPARED_CELLS: readonly Cell[] = [
  ...LINKS.flatMap((link) => PARK_CELLS.filter((cell) => cell.link === link)),
  ...(['many', 'busy'] as const).flatMap((fixture) =>
    (['plain', 'stripped'] as const).map((link): Cell => ({ fixture, release: '1.26', link })),
  ),
  ...STEPS_CELLS,
  ...SPIN_CELLS,
  ...BUSY_CELLS.filter(({ release }) => release !== '1.26'),
  ...SAME_CODE_RELEASES.map(strippedCgo),
  ...CHANGES.map((replace): Cell => ({ fixture: 'many', release: '1.26', link: 'plain', replace })),
  ...(['plain', 'stripped'] as const).flatMap((link) => ARM64_RELEASES.map((release) => manyArm64(release, link))),
  ...CHANGES.flatMap((replace) => ARM64_RELEASES.map((release) => ({ ...manyArm64(release, 'plain'), replace }))),
];

/** How a cell is called in test names and progress: `park go1.26 stripped-pie`. */
export function cellName(cell: Cell): string {
  return `${cell.fixture} go${cell.release} ${cell.link}`;
}
