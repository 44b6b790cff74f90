import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { isFree } from '../capture/targets.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { FLOW } from '../support/releases.js';
import { STUCK_CELLS } from '../support/wait-cells.js';
import { Tmux } from '../support/tmux.js';
import { GOSPY, gospy } from './gospy-process.js';

const folder = temporaryFolder(t);
let folders = 0;
/** The shortest interval that the keys lead to. */
const SHORTEST_MS = 100;

interface Watched {
  readonly tmux: Tmux;
  readonly program: GoProcess;
  readonly folder: string;
  /** The state of the terminal before gospy started. */
  readonly before: string;
  /** Returns the pid of gospy. */
  pid(): number;
}

/** Starts the program, and `gospy top` on it in a terminal. */
async function watch(
  t: Parameters<typeof startGo>[0],
  [columns, rows]: readonly [number, number],
  { args = '', env = '' } = {},
): Promise<Watched> {
  const here = join(folder, String(folders++));
  mkdirSync(here);
  const program = await startGo(t, await buildGo(FLOW.now));
  const tmux = new Tmux(t, columns, rows, here);
  const before = await tmux.state();
  const command = `${env} exec ${process.execPath} ${GOSPY} top --pid ${program.pid} ${args}`;
  tmux.type(`clear; (echo $BASHPID > pid; ${command}); echo "ended with $?"`);
  await tmux.until((screen) => screen.startsWith('gospy top') && screen.includes('main.worker'), 'the first frame');
  return { tmux, program, folder: here, before, pid: () => Number(readFileSync(join(here, 'pid'), 'utf8')) };
}

/** Waits until gospy has ended, and checks that the terminal is as it was before. */
async function ended(t: Test, { tmux, before, program }: Watched, code: number, alive = true): Promise<string> {
  const screen = await tmux.until((text) => text.includes(`ended with ${code}`), `the end with exit code ${code}`);
  t.notOk(tmux.alternate, 'the screen is the one from before');
  t.equal(await tmux.state(), before, 'the terminal is as before');
  t.equal(program.alive(), alive, 'the program');
  if (alive) t.ok(isFree(program.pid), 'nobody traces the program');
  return screen;
}

/** Returns the nth word of each line of the list. */
function column(screen: string, n: number): string[] {
  return screen
    .split('\n')
    .slice(4, -1)
    .filter((line) => line.trim() !== '')
    .flatMap((line) => line.trim().split(/\s+/)[n] ?? []);
}

const heading = (screen: string): string => screen.split('\n')[3] ?? '';

if (requireGo(t)) {
  for (const size of [
    [80, 24],
    [200, 50],
  ] as const) {
    t.test(`top: does what each key says (${size.join('x')})`, async (t) => {
      const watched = await watch(t, size);
      const { tmux, program, folder: here } = watched;
      t.ok(tmux.alternate, 'the other screen is used');
      t.notOk(tmux.cursorShown);
      const first = tmux.screen();
      t.equal(first.length, size[1], 'the screen is full');
      t.match(first[0], /^gospy top {2}flow {2}pid \d+ {2}Go 1\.26\.\d+ {2}live, every 1 s(, \d+ samples?)?$/);
      t.match(first[1], /^Goroutines \d+/);
      t.match(first[2], /^Ps \d+: .* GC off/);
      t.match(first.at(-1), /^q quit/);

      for (const [key, title] of [
        ['2', 'STACK'],
        ['3', 'WAIT REASON'],
        ['5', 'STATE'],
        ['6', 'GO STATEMENT'],
        ['7', 'INNERMOST'],
        ['8', 'LOCK OR CHANNEL'],
        ['9', 'WORK'],
        ['1', 'FUNCTION'],
        ['Tab', 'STACK'],
        ['BTab', 'FUNCTION'],
      ] as const) {
        tmux.keys(key);
        await tmux.until(
          (screen) => heading(screen).replace('*', '').trimEnd().endsWith(title),
          `grouping by ${title}`,
        );
      }
      tmux.keys('4');
      await tmux.until((screen) => screen.includes('no goroutine of this program has a label'), 'a word on labels');
      await program.ask('label 4');
      await tmux.until((screen) => screen.includes('Goroutines 30'), 'the goroutines with labels');
      tmux.keys('4');
      await tmux.until((screen) => heading(screen).includes('LABEL request'), 'a label');
      tmux.keys('4');
      const blue = await tmux.until((screen) => heading(screen).includes('LABEL tenant'), 'the next label');
      t.match(blue, /^ +4 .*blue *$/m);
      tmux.keys('1');
      await tmux.until((screen) => heading(screen).includes('FUNCTION'), 'functions again');

      for (const [key, name] of [
        ['d', 'DELTA*'],
        ['r', 'RATE/S*'],
        ['w', 'WAIT*'],
        ['n', 'FUNCTION*'],
        ['<', 'WAIT*'],
        ['>', 'FUNCTION*'],
        ['c', 'COUNT*'],
      ] as const) {
        tmux.keys(key);
        const sorted = await tmux.until((screen) => heading(screen).includes(name), `sorting by ${name}`);
        if (key === 'n') {
          const names = sorted
            .split('\n')
            .slice(4, -1)
            .flatMap((line) => /(?:main|runtime)\.(?!go)\S+/.exec(line)?.[0] ?? []);
          t.same(names, [...names].sort(), 'names are sorted');
        }
      }

      tmux.keys('?');
      const help = await tmux.until((screen) => screen.includes('Any key goes back'), 'the help, to its end');
      t.match(help, /pause sampling/);
      tmux.keys('x');
      await tmux.until((screen) => screen.includes('main.worker'), 'the list');

      tmux.keys('/');
      tmux.keys('m', 'o', 'v', 'e', 'e');
      await tmux.until((screen) => screen.includes('/movee_'), 'the filter as it is typed');
      tmux.keys('BSpace');
      const typed = await tmux.until((screen) => screen.includes('/move_'), 'one letter less');
      t.same(column(typed, 0), ['5'], 'one line is left');
      tmux.keys('Enter');
      const filtered = await tmux.until((screen) => screen.includes('Only lines with "move"'), 'the filter, kept');
      t.ok(filtered.includes('main.mover'));
      t.notOk(filtered.includes('main.worker'));

      tmux.keys('Enter');
      const members = await tmux.until(
        (screen) => heading(screen).includes('GOID') && column(screen, 0).length === 5,
        'the goroutines of the group',
      );
      tmux.keys('Down');
      tmux.keys('Enter');
      const stack = await tmux.until((screen) => /^goroutine \d+ \[chan receive/m.test(screen), 'a stack');
      t.ok(stack.includes(`goroutine ${column(members, 0)[1] ?? ''} `), 'of the goroutine that was chosen');
      for (const func of ['runtime.gopark', 'main.mover', 'runtime.goexit', 'created by main.main in goroutine 1']) {
        t.ok(stack.includes(`\n${func}`), func);
      }
      tmux.keys('BSpace');
      await tmux.until((screen) => heading(screen).includes('GOID'), 'the goroutines again');
      tmux.keys('Escape');
      await tmux.until(
        (screen) => heading(screen).includes('FUNCTION') && screen.includes('main.worker'),
        'all groups',
      );

      tmux.keys('-', '-', '-');
      await tmux.until((screen) => screen.includes(`every ${SHORTEST_MS / 1000} s`), 'the shortest interval');
      tmux.keys('p');
      await tmux.until((screen) => screen.includes('PAUSED'), 'that it is paused');
      await program.ask('start 7');
      // Keys are answered all the while.
      for (const end = performance.now() + 5 * SHORTEST_MS; performance.now() < end;) {
        tmux.keys('?');
        await tmux.until((screen) => screen.includes('Any key goes back'), 'the help');
        tmux.keys('x');
        const list = await tmux.until((screen) => screen.includes('main.worker'), 'the list');
        t.match(list, /^Goroutines 30/m, 'nothing is sampled while it is paused');
      }
      tmux.keys('p');
      await tmux.until((screen) => screen.includes('Goroutines 37') && !screen.includes('PAUSED'), 'what came since');

      tmux.keys('+', '+', '+', '+');
      await tmux.until((screen) => screen.includes('every 2 s'), 'a longer interval');
      tmux.keys('m');
      await tmux.until((screen) => /stop, every 2 s, [\d.]+ (us|ms) stopped/.test(screen), 'stop mode');

      tmux.keys('s');
      const saved = await tmux.until((screen) => /saved \S+\.gsp/.test(screen), 'what was saved');
      const [, name = ''] = /saved (\S+\.gsp)/.exec(saved) ?? [];
      t.ok(existsSync(join(here, name)), name);
      t.same(readdirSync(here).sort(), [name, 'pid'], 'nothing else is left');
      const { stdout } = await gospy(['summary', join(here, name)]);
      t.match(stdout, /^Goroutines: 37 total/m);
      tmux.keys('m');
      await tmux.until((screen) => screen.includes('live, every'), 'live mode');

      tmux.keys('G');
      tmux.keys('g');
      tmux.keys('End', 'Home', 'NPage', 'PPage', 'j', 'k');
      tmux.keys('Enter');
      await tmux.until((screen) => heading(screen).includes('GOID') && column(screen, 0).length === 12, 'the workers');
      tmux.keys('q');
      await ended(t, watched, 0);
    });
  }

  t.test('top: locks and channels by waiters, with who has to end the wait', async (t) => {
    const program = await startGo(t, await buildGo(STUCK_CELLS.at(-1) ?? FLOW.now), { args: ['slow'] });
    const [, holder = ''] = /^holder (\d+)/m.exec(program.stdout) ?? [];
    const pid = String(program.pid);
    const held = new RegExp(`^ +40 .* Mutex 0x[0-9a-f]+ \\(locked, 40 waiters\\), held by ${holder} in main\\.`, 'm');
    for (const mode of ['live', 'stop']) {
      const once = await gospy(['top', '--pid', pid, '--once', '--mode', mode, '--group-by', 'locks']);
      t.same([once.code, once.stderr], [0, '']);
      t.match(once.stdout, held, mode);
    }
    const tmux = new Tmux(t, 200, 50, folder);
    tmux.type(`${process.execPath} ${GOSPY} top --pid ${pid}`);
    await tmux.until((screen) => screen.startsWith('gospy top') && screen.includes('main.'), 'the first frame');
    tmux.keys('8');
    const list = await tmux.until((screen) => heading(screen).includes('LOCK OR CHANNEL'), 'the locks');
    t.match(list, held);
    tmux.keys('Enter');
    const members = await tmux.until((screen) => heading(screen).includes('GOID'), 'the goroutines that wait for it');
    t.equal(column(members, 0).length, 40);
    t.notOk(column(members, 0).includes(holder), 'its holder is not one of them');
    tmux.keys('Enter');
    await tmux.until((screen) => /^goroutine \d+ \[sync\.Mutex\.Lock/m.test(screen), 'the stack of one');
    tmux.keys('BSpace', 'BSpace');
    await tmux.until((screen) => heading(screen).includes('LOCK OR CHANNEL'), 'the locks again');
    tmux.keys('q');
    await tmux.until((text) => !text.startsWith('gospy top'), 'the shell');
    t.ok(isFree(program.pid));
  });

  t.test('top: those that wait alike, on a channel of their own each, are one line', async (t) => {
    const program = await startGo(t, await buildGo(STUCK_CELLS.at(-1) ?? FLOW.now), { args: ['abandoned'] });
    const { stdout } = await gospy(['top', '--pid', String(program.pid), '--once', '--group-by', 'locks']);
    t.match(stdout, /^ +12 .* chan int \(unbuffered\) to send in main\.ask\.func1, each on its own/m);
    t.equal(stdout.match(/main\.ask/g)?.length, 1);
  });

  t.test('top: fits the terminal when that is resized', async (t) => {
    const watched = await watch(t, [80, 24]);
    const { tmux } = watched;
    for (const [columns, rows] of [
      [200, 50],
      [60, 15],
      [120, 30],
      [80, 24],
    ] as const) {
      tmux.resize(columns, rows);
      const screen = await tmux.until(
        (text) =>
          text.startsWith('gospy top') &&
          text.split('\n').length === rows &&
          /^q quit/.test(text.split('\n').at(-1) ?? ''),
        `${columns}x${rows}`,
      );
      t.ok(screen.includes('main.worker'));
      t.equal(heading(screen).includes('STATE'), columns >= 110, 'wide screens show more');
    }
    tmux.keys('q');
    await ended(t, watched, 0);
  });

  t.test('top: a program that starts 100 goroutines a second shows first, with its rate', async (t) => {
    const { tmux, program } = await watch(t, [80, 24]);
    await program.ask('leak 100');
    tmux.keys('r');
    const screen = await tmux.until((text) => {
      const [, rate = '0'] = /\+([\d.]+) +\S+ +main\.leaked/.exec(text) ?? [];
      return Math.abs(Number(rate) - 100) <= 10;
    }, 'a rate of about 100 a second');
    t.match(screen.split('\n')[4], /main\.leaked/, 'the first line is the growing group');
    tmux.keys('c');
    await tmux.until((text) => (text.split('\n')[4] ?? '').includes('main.leaked'), 'most goroutines');
    t.ok(program.alive());
  });

  t.test('top: the end of the process ends it, and the last frame stays', async (t) => {
    const watched = await watch(t, [80, 24]);
    await watched.program.kill();
    const screen = await watched.tmux.until((text) => text.includes('ended with'), 'the end');
    t.match(screen, /main\.worker/);
    t.match(screen, /gospy top: Process \d+ ended/);
    await ended(t, watched, 0, false);
  });

  t.test('top: Ctrl-C and SIGTERM end it with exit code 130', async (t) => {
    for (const way of ['Ctrl-C', 'SIGTERM'] as const) {
      const watched = await watch(t, [80, 24]);
      if (way === 'Ctrl-C') watched.tmux.keys('C-c');
      else process.kill(watched.pid(), way);
      await ended(t, watched, 130);
    }
  });

  t.test('top: Ctrl-Z gives the terminal back, and fg takes it again', async (t) => {
    const watched = await watch(t, [80, 24]);
    const { tmux, before } = watched;
    for (let i = 0; i < 2; i++) {
      tmux.keys('C-z');
      await tmux.until((text) => text.includes('Stopped'), 'the word of the shell');
      t.equal(await tmux.state(), before, 'the terminal is as before');
      tmux.type('fg');
      await tmux.until((text) => text.startsWith('gospy top') && text.includes('main.worker'), 'the list');
      t.ok(tmux.alternate);
      tmux.keys('2');
      await tmux.until((text) => heading(text).includes('STACK'), 'that keys arrive');
      tmux.keys('1');
      await tmux.until((text) => heading(text).includes('FUNCTION'), 'functions');
    }
    tmux.keys('q');
    await tmux.until((text) => !text.startsWith('gospy top'), 'the shell');
    t.equal(await tmux.state(), before);
  });

  t.test('top: a crash inside gives the terminal back, and says what it was', async (t) => {
    const crash = join(folder, 'crash.mjs');
    writeFileSync(crash, "process.on('SIGUSR2', () => { throw new Error('broken on purpose'); });\n");
    const watched = await watch(t, [80, 24], { env: `NODE_OPTIONS="--import ${crash}"` });
    process.kill(watched.pid(), 'SIGUSR2');
    const screen = await ended(t, watched, 1);
    t.match(screen.replaceAll('\n', ''), /this is a bug of gospy's: Error: broken on purpose/);
  });

  t.test('top: browses a snapshot', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const path = join(folder, 'browsed.gsp');
    t.equal((await gospy(['capture', '--pid', String(program.pid), '-o', path])).code, 0);
    await program.kill();
    const tmux = new Tmux(t, 100, 30, folder);
    const before = await tmux.state();
    tmux.type(`${process.execPath} ${GOSPY} top browsed.gsp --group-by wait`);
    const groups = await tmux.until((text) => text.includes('WAIT REASON') && text.includes('chan receive'), 'waits');
    t.match(groups.split('\n')[0], /flow {2}pid \d+ {2}Go 1\.26\.\d+ {2}file$/);
    tmux.keys('Enter', 'Enter');
    await tmux.until((text) => text.includes('runtime.goexit'), 'a stack');
    tmux.keys('p');
    await tmux.until((text) => text.includes('a file does not change'), 'that there is nothing to pause');
    tmux.keys('q');
    await tmux.until((text) => !text.startsWith('gospy top'), 'the shell');
    t.equal(await tmux.state(), before);
  });

  t.test('top --once: prints one plain frame', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const { code, stdout, stderr } = await gospy(['top', '--pid', String(program.pid), '--once']);
    t.equal(code, 0);
    t.equal(stderr, '');
    t.match(stdout, /^pid \d+: .*flow, Go 1\.26\.\d+, \d+ goroutines, /);
    t.match(stdout, /^ +5 .*chan receive +main\.worker \(.*main\.go:\d+\)$/m);
    t.notMatch(stdout, /\u001b/);
    const waits = await gospy(['top', '--pid', String(program.pid), '--once', '--group-by', 'wait', '--limit', '1']);
    t.match(waits.stdout, /^ +\d+ .*chan receive\n\.\.\. \d+ more \(--limit 0 prints all\)$/m);
    const stopped = await gospy(['top', '--pid', String(program.pid), '--once', '--mode', 'stop', '--filter', 'MOVER']);
    t.match(stopped.stdout, /^ +5 .*main\.mover/m);
    t.notMatch(stopped.stdout, /main\.worker/);
    t.ok(isFree(program.pid));
  });
}

t.test('top: says that it needs a terminal, and refuses odd values', async (t) => {
  for (const [args, words] of [
    [['--pid', '1'], /needs a terminal/],
    [['--pid', '1', '--sort', 'odd'], /odd/],
    [['--pid', '1', '--interval', '5ms'], /100ms/],
    [['--pid', '1', '--group-by', 'odd'], /odd/],
    [['--once'], /no target/],
  ] as const) {
    const { code, stdout, stderr } = await gospy(['top', ...args]);
    t.equal(code, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, words);
  }
});
