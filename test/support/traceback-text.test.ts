import t from 'tap';
import { parseTraceback, type TracedGoroutine } from './traceback.js';

function only(text: string): TracedGoroutine {
  const [first, ...rest] = parseTraceback(text);
  if (first === undefined || rest.length > 0) throw new Error(`${rest.length + 1} goroutines`);
  return first;
}

function header(line: string): TracedGoroutine {
  return only(`${line}\nmain.main()\n\t/m.go:1 +0x1\n`);
}

t.test('traceback: headers of all releases are read', (t) => {
  t.match(header('goroutine 1 [chan receive]:'), {
    ...{ goid: 1, status: 'chan receive', gp: null, m: null, mp: null, minutes: null, lockedToThread: false },
    ...{ leaked: false, scan: false, durable: false, synctest: null, labels: null },
  });
  t.match(header('goroutine 7 gp=0xc000007c00 m=nil [select (no cases), 12 minutes, locked to thread]:'), {
    ...{
      goid: 7,
      gp: '0xc000007c00',
      m: null,
      mp: null,
      status: 'select (no cases)',
      minutes: 12,
      lockedToThread: true,
    },
  });
  t.match(header('goroutine 0 gp=0x6 m=3 mp=0xc000100008 [idle]:'), { gp: '0x6', m: 3, mp: '0xc000100008' });
  t.match(header('goroutine 3 [chan receive (nil chan) (scan)]:'), { status: 'chan receive (nil chan)', scan: true });
  t.match(header('goroutine 3 [GC worker (idle)]:'), { status: 'GC worker (idle)', scan: false });
  t.match(header('goroutine 3 [chan send (leaked)]:'), { status: 'chan send', leaked: true });
  t.match(header('goroutine 3 [sleep (durable), 2 minutes, synctest bubble 5]:'), {
    ...{ status: 'sleep', durable: true, minutes: 2, synctest: 5 },
  });
  t.match(header('goroutine 3 [sleep, synctest group 18]:'), { durable: false, synctest: 18 });
  t.end();
});

t.test('traceback: labels are read as Go 1.26 and Go 1.27 print them', (t) => {
  const labels = {
    request: '17',
    'a b': 'x", y: {z}]:',
    empty: '',
    tab: '\t',
    eszett: 'ß',
    smile: '😀',
    broken: '\ufffd',
  };
  const quoted = [
    ...['"request": "17"', '"a b": "x\\", y: {z}]:"', '"empty": ""', '"tab": "\\t"', '"eszett": "\\u00df"'],
    ...['"smile": "\\U0001f600"', '"broken": "\\xff"'],
  ].join(', ');
  t.same(header(`goroutine 3 [sleep, locked to thread labels:{${quoted}}]:`).labels, labels);
  t.ok(header(`goroutine 3 [sleep, locked to thread labels:{${quoted}}]:`).lockedToThread);
  const sparing = quoted.replace('"request": "17"', 'request: 17').replace('"empty": ""', 'empty: ');
  t.same(header(`goroutine 3 [sleep, 3 minutes] {${sparing}}:`).labels, labels);
  t.match(header(`goroutine 3 [sleep, 3 minutes] {${sparing}}:`), { status: 'sleep', minutes: 3 });
  t.end();
});

t.test('traceback: names of functions end where the last argument list begins', (t) => {
  const names = [
    ...[
      'main.main',
      'main.(*T).Run.func1',
      'main.Map[...]',
      'main.(*pair[...]).convert[...]',
      'type..eq.struct { a int }',
    ],
    ...[
      'struct { *sync.Mutex; f func(int) (int, error) }.Lock',
      'example.com/a%2eb.F',
      'main.main.gowrap1',
      'main.(*T).Run-fm',
    ],
  ];
  const argumentLists = ['', '0x1, 0xc000012345', '...', '{0x1, 0x2}, 0x3?, _, ...', '{{0x1?, _}, {...}}'];
  for (const name of names) {
    for (const list of argumentLists) {
      const [frame] = only(`goroutine 1 [running]:\n${name}(${list})\n\t/a (b)/c:d.go:7 +0x1f\n`).frames;
      t.match(frame, { func: name, file: '/a (b)/c:d.go', line: 7, inlined: list === '...', pc: null });
    }
  }
  t.equal(only('goroutine 1 [running]:\npanic({0x1, 0x2})\n\t/panic.go:9 +0x1\n').frames[0]?.func, 'runtime.gopanic');
  t.end();
});

t.test('traceback: elided frames, creators, ancestors, and unavailable stacks are read', (t) => {
  const frame = (n: number): string => `main.f${n}(0x1)\n\t/m.go:${n} +0x1 fp=0x2 sp=0x1 pc=0x${n}`;
  const text = [
    'goroutine 9 [select]:',
    ...[frame(1), frame(2), '...31 frames elided...', frame(3)],
    'created by main.start.func1 in goroutine 4\n\t/m.go:90 +0x9',
    '[originating from goroutine 4]:',
    'main.start(...)\n\t/m.go:80 +0x1\n...additional frames elided...\ncreated by main.main\n\t/m.go:70 +0x7',
    '',
    'goroutine 10 [running]:\n\tgoroutine running on other thread; stack unavailable',
    'created by main.main in goroutine 1\n\t/m.go:60 +0x5',
    '\nrax    0x0\n',
  ].join('\n');
  const [first, second] = parseTraceback(text);
  t.match(first, {
    frames: [{ func: 'main.f1', pc: '0x1', sp: '0x1', fp: '0x2' }, { line: 2 }, { line: 3 }],
    elided: { after: 2, count: 31 },
    creator: { func: 'main.start.func1', file: '/m.go', line: 90, parentGoid: 4 },
    ancestors: [{ goid: 4, frames: [{ func: 'main.start', line: 80 }], elided: { after: 1, count: null } }],
  });
  t.match(first?.ancestors[0]?.creator, { func: 'main.main', line: 70, parentGoid: null });
  t.match(second, { stackAvailable: false, frames: [], creator: { parentGoid: 1 } });
  t.end();
});

t.test('traceback: level crash prints goroutines again, thread by thread', (t) => {
  const part = 'goroutine 5 [running]:\nmain.f()\n\t/m.go:1 +0x1 fp=0x2 sp=0x1 pc=0x1\n';
  const traced = parseTraceback(`SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n${part}-----\n\n${part}\nrax    0x1\n`);
  t.same(
    traced.map(({ goid, frames }) => [goid, frames.length]),
    [
      [5, 1],
      [5, 1],
    ],
  );
  t.end();
});
