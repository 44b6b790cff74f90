import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { buildView } from '../../../analyze/report/live-view.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { widthOf } from '../../../src/render/width.js';
import { onceText } from '../../../src/tui/once.js';
import { ASCII, BLOCKS, trendText } from '../../../src/tui/cells.js';
import { screen } from '../../../src/tui/screen.js';
import { initialState, queryOf, type State } from '../../../src/tui/state.js';
import { update, type Effect } from '../../../src/tui/update.js';

const SAMPLE = fileURLToPath(new URL('../../../../snapshots/samples/queue.gsp', import.meta.url));
const image = openSnapshot(SAMPLE);
t.teardown(() => image.close());
const program = openProgram(image);

/** The state of a process that looks like the sample file, after its first sample. */
function shown(columns: number, rows: number): State {
  const sampling = { mode: 'live', intervalMs: 1000, paused: false } as const;
  const state = initialState({ columns, rows, sampling, by: { kind: 'start' }, sort: 'count', filter: '' });
  return update(state, { kind: 'sample', view: buildView(program, queryOf(state)), atMs: 0, pauseNs: 0 }).state;
}

/** Presses keys and answers each query. Returns the state, and all effects. */
function pressed(state: State, ...keys: readonly string[]): { state: State; effects: Effect[] } {
  const done: Effect[] = [];
  let current = state;
  for (const key of keys) {
    const { state: next, effects } = update(current, { kind: 'key', key });
    done.push(...effects);
    const answer = (): State => update(next, { kind: 'view', view: buildView(program, queryOf(next)) }).state;
    current = effects.includes('query') ? answer() : next;
  }
  return { state: current, effects: done };
}

const lines = (state: State): string[] =>
  screen(state, BLOCKS).map((line) =>
    line
      .map(({ text }) => text)
      .join('')
      .trimEnd(),
  );

t.test('screen: has exactly the size of the terminal', (t) => {
  for (const [columns, rows] of [
    [80, 24],
    [200, 50],
    [40, 10],
    [12, 5],
    [1, 1],
  ] as const) {
    for (const keys of [[], ['?'], ['ENTER'], ['ENTER', 'ENTER'], ['/', 'x'], ['2'], ['END']]) {
      const made = screen(pressed(shown(columns, rows), ...keys).state, BLOCKS);
      t.equal(made.length, Math.min(rows, Math.max(rows, 1)), `${columns}x${rows} ${keys.join(' ')}`);
      for (const line of made) t.ok(line.reduce((sum, { text }) => sum + widthOf(text), 0) <= columns);
    }
  }
  t.end();
});

t.test('screen: groups, largest first, as the summary counts them', (t) => {
  const made = lines(shown(80, 24));
  t.match(made[0], /^gospy top {2}queue {2}pid \d+ {2}Go 1\.26\.8 {2}live, every 1 s$/);
  t.match(made[1], /^Goroutines 27 .*27 waiting$/);
  t.match(made[4], /^ +16 .*main\.\(\*queue\)\.worker/);
  t.match(made[5], /^ +4 .*main\.\(\*queue\)\.stats/);
  t.end();
});

t.test('state: locks and channels by waiters', (t) => {
  const state = pressed(shown(200, 24), '8').state;
  t.match(lines(state)[3], /LOCK OR CHANNEL$/);
  const [lock = ''] = lines(state).filter((line) => line.includes('Mutex'));
  t.match(lock, /^ +4 .*sync\.Mutex\.Lock +Mutex 0x[0-9a-f]+ \(locked, 4 waiters\), /);
  const channel = lines(state).find((line) => line.includes('chan ')) ?? '';
  t.match(channel, /^ +16 .*chan 0x[0-9a-f]+ \(unbuffered\) to receive, /, 'the workers share a channel');
  const opened = pressed(state, 'DOWN', 'ENTER').state;
  t.equal(lines(opened).filter((line) => line.includes('sync.Mutex.Lock')).length, 4);
  t.equal(lines(pressed(opened, 'ESCAPE').state)[3], lines(state)[3]);
  t.end();
});

t.test('state: Enter opens a group and a stack, Escape goes back', (t) => {
  const first = shown(80, 24);
  const group = pressed(first, 'DOWN', 'ENTER').state;
  t.equal(lines(group).filter((line) => line.includes('sync.Mutex.Lock')).length, 4);
  const stack = pressed(group, 'END', 'ENTER').state;
  t.match(lines(stack)[4], /^goroutine 26 \[sync\.Mutex\.Lock/);
  t.ok(lines(stack).includes('main.(*queue).stats'));
  const again = pressed(stack, 'BACKSPACE').state;
  t.same(lines(again), lines(pressed(group, 'END').state), 'the same line is selected');
  t.same(lines(pressed(again, 'ESCAPE').state), lines(pressed(first, 'DOWN').state));
  t.same(pressed(first, 'ESCAPE').state.levels.length, 1, 'there is nothing to go back to');
  t.end();
});

t.test('state: a filter is typed, kept and dropped', (t) => {
  const typed = pressed(shown(80, 24), '/', 'S', 'T', 'A', 'x', 'BACKSPACE', 'q').state;
  t.match(lines(typed).at(-1), /^\/STAq_/, 'letters are not commands');
  const kept = pressed(typed, 'BACKSPACE', 'ENTER').state;
  t.equal(
    lines(kept)
      .slice(4, -1)
      .filter((line) => line !== '').length,
    1,
  );
  t.ok(lines(kept)[4]?.includes('stats'), 'in upper or lower case');
  t.equal(pressed(kept, 'ESCAPE').state.filter, '');
  t.equal(pressed(typed, 'ESCAPE').state.filter, '');
  const none = pressed(shown(80, 24), '/', 'z', 'z', 'ENTER').state;
  t.match(lines(none)[4], /no line has "zz"/);
  t.equal(pressed(none, 'ENTER').state.levels.length, 1, 'nothing can be opened');
  t.end();
});

t.test('state: the selected group stays selected while others pass it', (t) => {
  const state = pressed(shown(80, 24), 'DOWN').state;
  const { groups, ...rest } = buildView(program, queryOf(state));
  const grown = groups.map((group) => (group.key.includes('stats') ? { ...group, count: 900 } : group));
  const next = update(state, { kind: 'sample', view: { ...rest, groups: grown }, atMs: 1000, pauseNs: 0 }).state;
  t.match(lines(next)[4], /^ +900 +\+896 .*stats/);
  const opened = pressed(next, 'ENTER').state;
  t.ok(lines(opened)[4]?.includes('sync.Mutex.Lock'), 'Enter opens the one that was chosen');
  const untouched = update(shown(80, 24), { kind: 'sample', view: { ...rest, groups: grown }, atMs: 1000, pauseNs: 0 });
  t.match(queryOf(pressed(untouched.state, 'ENTER').state).open, /stats/, 'with none chosen, the first line is opened');
  t.end();
});

t.test('state: the effects of keys', (t) => {
  const state = shown(80, 24);
  t.same(pressed(state, 'q').effects, ['quit']);
  t.same(pressed(state, 'CTRL_C').effects, ['interrupt']);
  t.same(pressed(state, '/', 'CTRL_C').effects, ['interrupt'], 'also while typing');
  t.same(pressed(state, 'CTRL_Z').effects, ['suspend']);
  t.same(pressed(state, 's').effects, ['save']);
  t.same(pressed(state, 'p').effects, ['reschedule']);
  t.equal(pressed(state, 'p').state.sampling?.paused, true);
  t.equal(pressed(state, 'p', 'p').state.sampling?.paused, false);
  t.equal(pressed(state, 'm').state.sampling?.mode, 'stop');
  t.equal(pressed(state, '-', '-', '-', '-', '-', '-').state.sampling?.intervalMs, 100);
  t.same(pressed(state, 'F1', 'x', 'CTRL_Q').effects, [], 'others do nothing');
  t.end();
});

t.test('state: the pauses of all samples are added up', (t) => {
  let state = pressed(shown(80, 24), 'm').state;
  const taken = buildView(program, queryOf(state));
  for (const atMs of [1000, 2000]) state = update(state, { kind: 'sample', view: taken, atMs, pauseNs: 1.5e6 }).state;
  t.match(lines(state)[0], /stop, every 1 s, 3\.00 ms stopped$/);
  t.end();
});

t.test('screen: control characters in a name do not reach the terminal', (t) => {
  const state = shown(80, 24);
  const taken = buildView(program, queryOf(state));
  const loc = { func: 'main.\u001b[2J', file: '/\u202e.go', line: 1, pc: '0x1' };
  const groups = taken.groups.map((group) => ({ ...group, loc }));
  const next = update(state, { kind: 'view', view: { ...taken, groups } }).state;
  t.notMatch(lines(next).join(''), /[\u0000-\u001f\u202e]/);
  t.end();
});

t.test('screen: wide characters are cut and padded by columns', (t) => {
  const state = shown(80, 24);
  const { view } = state;
  if (view === null) throw new Error('no view');
  const loc = { func: `main.${'漢字'.repeat(30)}`, file: '/データ.go', line: 1, pc: '0x1' };
  const groups = view.groups.map((group, i) => ({ ...group, key: `${i}`, loc }));
  for (const columns of [79, 80, 240]) {
    const resized = update(state, { kind: 'resize', columns, rows: 24 }).state;
    const next = update(resized, { kind: 'view', view: { ...view, groups } }).state;
    const [selected = [], second = []] = screen(next, BLOCKS).slice(4);
    t.equal(
      selected.reduce((sum, { text }) => sum + widthOf(text), 0),
      columns,
      'the selected line is as wide as the screen',
    );
    const text = second.map((part) => part.text).join('');
    t.ok(widthOf(text) <= columns && widthOf(text) > 70, `${columns}: ${text}`);
    t.match(text, columns === 240 ? /字 \/データ\.go:1$/ : /main.*….*漢字$/);
  }
  t.end();
});

t.test('trend: from the lowest to the highest count', (t) => {
  t.equal(trendText([1, 2, 3, 4, 5, 6, 7, 8], 8, BLOCKS), '▁▂▃▄▅▆▇█');
  t.equal(trendText([1, 2, 9, 9], 2, BLOCKS), '▁▁', 'only what fits, and no slope where there is none');
  t.equal(trendText([0, 10], 8, ASCII), '_@');
  t.equal(trendText([], 8, BLOCKS), '');
  t.end();
});

t.test('once: whole names, one line per group', (t) => {
  const text = onceText(shown(80, 24), 2).split('\n');
  t.match(text[0], /^pid \d+: .*queue, Go 1\.26\.8, 27 goroutines, /);
  t.match(text[3], /^ +16 +\S* *chan receive +main\.\(\*queue\)\.worker \(example\.com\/queue\/main\.go:17\)$/);
  t.match(text.at(-2), /^\.\.\. \d+ more/);
  t.end();
});
