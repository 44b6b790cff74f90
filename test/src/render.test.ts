import t from 'tap';
import type { GoroutineWithStack, Loc, Summary, TracebackLine } from '../../analyze/report/model.js';
import { tracebackText } from '../../src/render/traceback.js';
import { goroutineLine, moreLine, overview } from '../../src/render/summary.js';
import { duration, pluralize, printable, size } from '../../src/render/text.js';

function loc(func: string, file: string, line: number): Loc {
  return { func, file, line, pc: '0x1000' };
}

const parked: GoroutineWithStack = {
  goid: 1,
  runtime: 1,
  status: 'waiting',
  waitReason: 'chan receive',
  waitSinceNs: null,
  system: false,
  thread: null,
  lockedToThread: false,
  labels: {},
  parentGoid: null,
  creator: loc('runtime.rt0_go', '/usr/local/go/src/runtime/asm_amd64.s', 200),
  start: loc('main.main.gowrap1', '/src/main.go', 9),
  entry: loc('runtime.main', '/usr/local/go/src/runtime/proc.go', 110),
  current: loc('runtime.gopark', '/usr/local/go/src/runtime/proc.go', 302),
  user: loc('main.main', '/src/main.go', 17),
  waitsOn: [],
  frames: [],
  truncated: null,
  torn: false,
  work: [],
};

const SCHED = { runqsize: 0, nmidle: 0, npidle: 0, nmspinning: 0, gcwaiting: false, gcPhase: 'mark' } as const;

const summary: Summary = {
  target: {
    kind: 'snapshot',
    pid: 4711,
    bin: '/usr/bin/prometheus',
    executable: '/usr/bin/prometheus',
    goVersion: '1.12.8',
    arch: 'amd64',
    gomaxprocs: 6,
    capturedAt: null,
    mode: 'stop',
    pauseNs: null,
    crash: null,
  },
  runtimes: [
    {
      ...{ n: 1, file: '/usr/bin/prometheus', goVersion: '1.12.8', buildId: null, gomaxprocs: 6, goroutines: 44 },
      sched: SCHED,
    },
  ],
  ps: [
    {
      id: 0,
      runtime: 1,
      status: 'idle',
      schedtick: 642,
      syscalltick: 81,
      m: null,
      runqsize: 0,
      sinceScheduledNs: null,
    },
    { id: 1, runtime: 1, status: 'running', schedtick: 7, syscalltick: 0, m: 3, runqsize: 2, sinceScheduledNs: null },
  ],
  threads: { total: 14, running: 0, sleeping: 14, stopped: 0, zombie: 0, unknown: 0 },
  goroutines: {
    total: 44,
    system: 4,
    idle: 0,
    runnable: 0,
    running: 0,
    syscall: 5,
    waiting: 39,
    copystack: 0,
    preempted: 0,
    leaked: 0,
  },
  sched: SCHED,
  longestWaits: [{ goid: 8, runtime: 1, waitSinceNs: 93e9, waitReason: 'chan receive', entry: null }],
  findings: [{ code: 'all-in-syscalls', runtime: 1, count: 2, goids: [], message: 'all 2 Ps are in system calls' }],
};

t.test('summary text: has the lines that users of the first gospy know', (t) => {
  t.equal(
    overview(summary),
    [
      'bin: /usr/bin/prometheus, goVer: 1.12.8, gomaxprocs: 6',
      'P0 idle, schedtick: 642, syscalltick: 81',
      'P1 running, schedtick: 7, syscalltick: 0',
      'Threads: 14 total, 0 running, 14 sleeping, 0 stopped, 0 zombie',
      'Goroutines: 44 total, 0 idle, 0 running, 5 syscall, 39 waiting',
      '',
      'Run queues: 0 global, 2 local (up to 2 on one P); idle: 0 Ps, 0 Ms; spinning: 0 Ms',
      'GC: mark',
      'Longest waits: goroutine 8 93.0 s+ for chan receive in ?',
      'Look here first: all 2 Ps are in system calls',
      '',
    ].join('\n'),
  );
  t.end();
});

t.test('summary text: further states are shown if they are not zero', (t) => {
  const counts = { ...summary.goroutines, runnable: 2, preempted: 1 };
  t.match(
    overview({ ...summary, goroutines: counts }),
    'Goroutines: 44 total, 0 idle, 0 running, 5 syscall, 39 waiting, 2 runnable, 1 preempted\n',
  );
  t.end();
});

t.test('goroutine line: shows the place that was asked for', (t) => {
  t.equal(
    goroutineLine(parked, 'start'),
    '1 - waiting for chan receive: runtime.main (/usr/local/go/src/runtime/proc.go:110)\n',
  );
  t.match(goroutineLine(parked, 'caller'), ': runtime.rt0_go (');
  t.match(goroutineLine(parked, 'current'), ': runtime.gopark (');
  const placed = { ...parked, app: loc('main.serve', '/src/serve.go', 9) };
  t.match(goroutineLine(placed, 'user'), ': main.main (/src/main.go:17)\n');
  t.match(goroutineLine(placed, 'app'), ': main.serve (/src/serve.go:9)\n');
  t.match(goroutineLine({ ...placed, app: null }, 'app'), ': main.main (/src/main.go:17)\n');
  t.end();
});

t.test('goroutine line: states other than waiting stand alone, and an unknown place is a question mark', (t) => {
  t.match(goroutineLine({ ...parked, goid: 8, status: 'syscall', waitReason: null }, 'start'), /^8 - syscall: runtime/);
  t.match(goroutineLine({ ...parked, status: 'runnable', waitReason: null }, 'start'), /^1 - runnable: runtime/);
  t.match(goroutineLine({ ...parked, waitReason: null }, 'start'), /^1 - waiting: runtime/);
  t.equal(goroutineLine({ ...parked, creator: null }, 'caller'), '1 - waiting for chan receive: ?\n');
  t.match(goroutineLine({ ...parked, entry: null }, 'start'), ': main.main.gowrap1 (/src/main.go:9)');
  t.end();
});

t.test('traceback text: as Go prints it, with what ends it early and who made the goroutine', (t) => {
  const line = (func: string, entryOffset: number, args: string | null = null): TracebackLine => {
    return { func, file: '/a.go', line: 7, entryOffset, args };
  };
  const goroutine = { ...parked, goid: 9, waitSinceNs: 125e9, lockedToThread: true, parentGoid: 3 };
  t.equal(
    tracebackText({
      goroutine,
      lines: [
        line('runtime.gopanic', 0x2e, '{0x1, 0x2?}, ...'),
        line('main.(*T).inlined', 0, '...'),
        line('main.\u001b[2J', 16),
      ],
      truncated: 'no memory\nthere',
      creator: line('main.main', 0x1b),
      ancestors: [{ goid: 3, lines: [line('main.start', 5)], creator: line('main.init', 6) }],
    }),
    [
      'goroutine 9 [chan receive, 2 minutes, locked to thread]:',
      ...['panic({0x1, 0x2?}, ...)', '\t/a.go:7 +0x2e', 'main.(*T).inlined(...)', '\t/a.go:7'],
      ...['main.\\x1b[2J(...)', '\t/a.go:7 +0x10', '... the stack ends here: no memory\\x0athere'],
      ...['created by main.main in goroutine 3', '\t/a.go:7 +0x1b'],
      ...['[originating from goroutine 3]:', 'main.start(...)', '\t/a.go:7 +0x5'],
      ...['created by main.init', '\t/a.go:7 +0x6', ''],
    ].join('\n'),
  );
  const main = { ...parked, waitReason: null, status: 'running' as const };
  const text = tracebackText({
    goroutine: main,
    lines: [],
    truncated: null,
    creator: line('x', 1),
    ancestors: [],
  });
  t.equal(text, 'goroutine 1 [running]:\n', 'nobody made the first goroutine');
  t.end();
});

t.test('text: control characters of a target do not reach the terminal', (t) => {
  t.equal(printable('a\u001b[2Jb\nc\u202ed\u0085'), 'a\\x1b[2Jb\\x0ac\\u202ed\\x85');
  t.equal(printable('main.(*T[...]).Grüße·dwrap·1'), 'main.(*T[...]).Grüße·dwrap·1');
  const hostile: GoroutineWithStack = { ...parked, entry: loc('main.\u001b]0;x\u0007', '/a\nb.go', 1) };
  t.equal(goroutineLine(hostile, 'start'), '1 - waiting for chan receive: main.\\x1b]0;x\\x07 (/a\\x0ab.go:1)\n');
  t.end();
});

t.test('text: numbers read well', (t) => {
  t.same(
    [0, 999, 1000, 1234567].map((n) => pluralize(n, 'goroutine')),
    ['0 goroutines', '999 goroutines', '1,000 goroutines', '1,234,567 goroutines'],
  );
  t.equal(pluralize(1, 'thread'), '1 thread');
  t.same([840_000, 12_300_000, 1_250_000_000, 4_100].map(duration), ['0.84 ms', '12.3 ms', '1.25 s', '4.10 us']);
  t.same([912, 1_210_000, 45_600].map(size), ['912 B', '1.21 MB', '45.6 kB']);
  t.match(moreLine(99_800), /^\.\.\. 99,800 more /);
  t.end();
});
