import { ofAll, RELEASES, type Cell, type Release } from './releases.js';

/** Programs whose goroutines hold locks, which say who. */
export const LOCKS_CELLS: readonly Cell[] = [
  ...ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.14', '1.17', '1.19', '1.22', '1.24', '1.27']).map(
    (release): Cell => ({ fixture: 'locks', release, link: 'stripped' }),
  ),
  { fixture: 'locks', release: '1.26', link: 'cgo' },
  { fixture: 'locks', release: '1.26', link: 'plain', args: ['-race'] },
];

/** The same for arm64, of releases that differ in how arguments are passed, calls deferred, and locks inlined. */
export const LOCKS_ARM64_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  '1.12',
  '1.17',
  '1.27',
]).map((release): Cell => ({ fixture: 'locks', release, link: 'stripped', arch: 'arm64' }));

/** Programs that say what each goroutine waits on, of releases and builds that differ in how that is found. */
export const ALL_WAITS_CELLS: readonly Cell[] = [
  ...ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.17', '1.22', '1.27']).map((release): Cell => ({
    fixture: 'allwaits',
    release,
    link: 'stripped',
  })),
  { fixture: 'allwaits', release: '1.26', link: 'stripped-pie' },
  ...ofAll(['1.12', '1.19', '1.26'], ['1.26']).map((release): Cell => ({
    ...{ fixture: 'allwaits', release, link: 'plain', args: ['-gcflags=all=-N -l'] },
  })),
  ...ofAll(['1.26'], []).flatMap((release): Cell[] => [
    { fixture: 'allwaits', release, link: 'cgo' },
    { fixture: 'allwaits', release, link: 'cgo', args: ['-race'] },
  ]),
];
export const ALL_WAITS_CORE_CELLS: readonly Cell[] = [
  ...ofAll(['1.12', '1.19', '1.26'], ['1.19', '1.26']).map((release): Cell => ({
    fixture: 'allwaits',
    release,
    link: 'stripped',
  })),
  ...ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.27']).map((release): Cell => ({
    ...{ fixture: 'allwaits', release, link: 'stripped', arch: 'arm64' },
  })),
];

/** Programs that come to a standstill, of releases that differ in what tells of it. */
export const STUCK_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.19', '1.26']).map(
  (release) => ({ fixture: 'stuck', release, link: 'stripped' }),
);

/** Parts of the program `modules` that take long to build. */
const LARGE_MODULES = ['badger.go', 'gorm.go', 'grpc.go', 'kafka.go', 'nats.go', 'prometheus.go', 'redis.go'];

/**
 * Modules that are held up in the middle of their locks. A transaction of database/sql has a lock of its own since Go 1.27, in
 * which goroutines wait for a sync.Cond.
 */
export const MODULES_CELLS: readonly Cell[] = [
  ...(['1.26', '1.27'] as const).map((release): Cell => ({
    ...{ fixture: 'modules', release, link: 'stripped', leaveOut: LARGE_MODULES },
  })),
  ...ofAll(['1.26', '1.27'], []).map((release): Cell => ({ fixture: 'modules', release, link: 'stripped' })),
];

/** Programs with locks of their own, of releases that differ in how arguments are passed and calls deferred. */
export const OWN_LOCKS_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], ['1.12', '1.17', '1.27']).map(
  (release): Cell => ({ fixture: 'ownlocks', release, link: 'stripped' }),
);
