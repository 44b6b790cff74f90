import { counted, duration, grouped, printable } from '../render/text.js';
import { delta, ratePerSecond } from './history.js';
import { bodyHeight, rowsOf, type Row } from './rows.js';
import { byName, currentView, historyOf, selectedIndex, type State } from './state.js';

/** How a piece of text looks; what that means, the terminal knows. */
export type Style = 'plain' | 'title' | 'head' | 'selected' | 'dim' | 'more' | 'less' | 'alert';

export interface Span {
  readonly text: string;
  readonly style: Style;
}
export type Line = readonly Span[];

/** Characters for counts from low to high: blocks, or what every terminal has. */
export interface Glyphs {
  readonly trend: string;
  readonly ellipsis: string;
}
export const BLOCKS: Glyphs = { trend: '▁▂▃▄▅▆▇█', ellipsis: '…' };
export const ASCII: Glyphs = { trend: '_.-=+*#@', ellipsis: '~' };

/** From this width on, the state of a group has a column, and trends are long. */
const WIDE = 110;

const HELP = [
  'Keys',
  '  Up Down PgUp PgDn Home End (k j g G)   move',
  '  Enter          open a group, then the stack of a goroutine',
  '  Esc Backspace  go back',
  '  1 function  2 stack  3 wait  4 label  5 state  6 go statement  7 innermost',
  '                 what goroutines are grouped by; Tab takes the next one,',
  '                 4 again the next label',
  '  c d r w n      sort by count, delta, rate, wait, name; < > go through them',
  '  /              show only lines with a text; Esc takes that back',
  '  p              pause sampling, and go on',
  '  s              save a snapshot of what is on the screen',
  '  m              live mode: the process is never stopped; or stop mode',
  '  + -            look less often, more often',
  '  q              quit',
  '',
  'DELTA counts from the first look on, RATE is over the last five seconds,',
  'WAIT is the longest that is known, a lower bound.',
  'Any key goes back.',
];

/** The whole screen: exactly as many lines as it has, none longer than it is wide. Pure. */
export function screen(state: State, glyphs: Glyphs): Line[] {
  const height = bodyHeight(state);
  const body = state.help ? HELP.map((text) => [span(text)]) : bodyLines(state, glyphs);
  const lines = [...headLines(state, glyphs), ...Array.from({ length: height }, (_, i) => body[i] ?? []), foot(state)];
  return lines.slice(0, state.rows).map((line) => fitted(line, state.columns));
}

const STATES = ['running', 'runnable', 'syscall', 'waiting', 'preempted', 'copystack', 'leaked', 'idle'] as const;

/** The lines above the list: the program, its goroutines, its scheduler, and the names of the columns. */
function headLines(state: State, glyphs: Glyphs): Line[] {
  if (state.look === null) return [[span('gospy top', 'title')], [], [], []];
  const { target, goroutines, ps, threads, sched } = state.look.summary;
  const history = historyOf(state);
  const busy = ps.filter(({ status }) => status === 'running').length;
  const inSyscall = ps.filter(({ status }) => status === 'syscall').length;
  const queued = sched.runqsize + ps.reduce((sum, { runqsize }) => sum + runqsize, 0);
  const states = STATES.filter((s) => goroutines[s] > 0).map((s) => `${grouped(goroutines[s])} ${s}`);
  const name = printable(target.bin.slice(target.bin.lastIndexOf('/') + 1));
  const rate = ratePerSecond(history, history.total);
  const change = history.times.length < 2 ? null : delta(history.total);
  return [
    [
      span(`gospy top  ${name}`, 'title'),
      span(`  pid ${target.pid}  Go ${printable(target.goVersion)}  `),
      ...samplingSpans(state),
    ],
    [
      span(`Goroutines ${grouped(goroutines.total)}`, 'title'),
      ...(change === null ? [] : [span(` ${signed(change)}`, change > 0 ? 'more' : change < 0 ? 'less' : 'dim')]),
      ...(rate === null ? [] : [span(` (${rateText(rate)}/s)`, 'dim')]),
      span(` ${trendText(history.total.counts, state.columns >= WIDE ? 30 : 8, glyphs)}`, 'dim'),
      span(`  ${states.join(', ')}`),
    ],
    [
      span(`Ps ${ps.length}: ${busy} running, ${inSyscall} syscall  Queued ${grouped(queued)}  `),
      span(`GC ${sched.gcPhase ?? '?'}  Threads ${threads.total}`),
      ...(state.columns >= WIDE ? [span(`  grouped by ${byName(state.by)}, sorted by ${state.sort}`, 'dim')] : []),
    ],
    [span(columnNames(state).padEnd(state.columns), 'head')],
  ];
}

function samplingSpans({ sampling, pausedNs, looks, columns }: State): Span[] {
  if (sampling === null) return [span('file', 'dim')];
  const { mode, intervalMs, paused } = sampling;
  const stood = mode === 'stop' || pausedNs > 0 ? `, ${duration(pausedNs)} stopped` : '';
  return [
    ...(paused ? [span('PAUSED', 'alert'), span('  ')] : []),
    span(`${mode}, every ${intervalMs / 1000} s${stood}`, 'dim'),
    ...(columns >= WIDE ? [span(`, ${counted(looks, 'look')}`, 'dim')] : []),
  ];
}

const TITLES = {
  start: 'FUNCTION',
  caller: 'GO STATEMENT',
  current: 'CURRENT',
  user: 'INNERMOST',
  stack: 'STACK',
  wait: 'WAIT REASON',
  status: 'STATE',
  label: 'LABEL',
} as const;

function columnNames(state: State): string {
  const view = currentView(state);
  if (view.kind === 'stack') return 'STACK';
  if (view.kind === 'goroutines') {
    return `${'GOID'.padStart(9)} ${'WAIT'.padStart(8)} ${'STATE'.padEnd(STATE_WIDTH)} WHERE`;
  }
  const title = state.by.kind === 'label' ? `LABEL ${printable(state.by.key)}` : TITLES[state.by.kind];
  const stateColumn = hasStateColumn(state) ? `${'STATE'.padEnd(STATE_WIDTH)} ` : '';
  const trend = 'TREND'.padEnd(trendWidth(state));
  const name = (text: string, key: State['sort']): string => (state.sort === key ? `${text}*` : text);
  return (
    `${name('COUNT', 'count').padStart(8)} ${name('DELTA', 'delta').padStart(8)} ${name('RATE/S', 'rate').padStart(8)} ` +
    `${trend} ${name('WAIT', 'wait').padStart(8)} ${stateColumn}${name(title, 'name')}`
  );
}

const STATE_WIDTH = 18;

function hasStateColumn({ columns, by }: State): boolean {
  return columns >= WIDE && by.kind !== 'wait' && by.kind !== 'status';
}

function trendWidth({ columns }: State): number {
  return columns >= WIDE ? 20 : 8;
}

function bodyLines(state: State, glyphs: Glyphs): Line[] {
  const view = currentView(state);
  const height = bodyHeight(state);
  const rows = rowsOf(state).slice(view.top, view.top + height);
  if (!isAnswered(state)) return [[span('...', 'dim')]];
  if (view.kind === 'stack') return rows.map(({ name }) => [span(name, name.startsWith('    ') ? 'dim' : 'plain')]);
  const selected = selectedIndex(state) - view.top;
  const line = view.kind === 'groups' ? groupLine : goroutineLine;
  if (rows.length === 0)
    return [[span(state.filter === '' ? 'none' : `no line has "${printable(state.filter)}" in it`, 'dim')]];
  return rows.map((row, i) => {
    const spans = line(row, state, glyphs);
    return i === selected ? highlighted(spans, state.columns) : spans;
  });
}

/** False while what the view is about has not been looked at. */
function isAnswered(state: State): boolean {
  const view = currentView(state);
  const { open, goid } = state.look?.question ?? { open: null, goid: null };
  return view.kind === 'groups' || (view.kind === 'goroutines' ? open === view.key : goid === view.goid);
}

function groupLine(row: Row, state: State, glyphs: Glyphs): Line {
  const stateColumn = hasStateColumn(state) ? `${cut(row.state, STATE_WIDTH, glyphs).padEnd(STATE_WIDTH)} ` : '';
  const { delta: change, ratePerSecond: rate } = row;
  const style = change === null || change === 0 ? 'dim' : change > 0 ? 'more' : 'less';
  const left = [
    span(`${grouped(row.count).padStart(8)} `),
    span(`${(change === null ? '' : signed(change)).padStart(8)} `, style),
    span(`${(rate === null ? '' : rateText(rate)).padStart(8)} `, style),
    span(`${trendText(row.trend, trendWidth(state), glyphs).padEnd(trendWidth(state))} `, 'dim'),
    span(`${waitText(row).padStart(8)} ${stateColumn}`),
  ];
  return [...left, ...nameSpans(row, state.columns - widthOf(left), glyphs)];
}

function goroutineLine(row: Row, state: State, glyphs: Glyphs): Line {
  const left = [
    span(
      `${row.id.padStart(9)} ${waitText(row).padStart(8)} ${cut(row.state, STATE_WIDTH, glyphs).padEnd(STATE_WIDTH)} `,
    ),
  ];
  return [...left, ...nameSpans(row, state.columns - widthOf(left), glyphs)];
}

/** The name, whole where it fits, and the end of its file where there is room for it. */
function nameSpans({ name, file }: Row, room: number, glyphs: Glyphs): Span[] {
  const left = room - name.length - 1;
  if (file === '' || left < 8) return [span(cut(name, room, glyphs))];
  return [span(`${name} `), span(tail(file, left, glyphs), 'dim')];
}

function foot(state: State): Line {
  const { typing, filter, message, sampling } = state;
  if (typing) return [span('/', 'head'), span(`${printable(filter)}_`), span('  Enter keeps it, Esc drops it', 'dim')];
  if (message !== null) return [span(printable(message), 'alert')];
  if (filter !== '') return [span(`Only lines with "${printable(filter)}": Esc shows all`, 'alert')];
  const view = currentView(state);
  const keys = [
    'q quit',
    '? help',
    ...(view.kind === 'stack' ? [] : ['Enter open']),
    ...(view.kind === 'groups' ? ['1-7 group'] : ['Esc back']),
    ...(view.kind === 'stack' ? [] : ['cdrwn sort']),
    '/ filter',
    ...(sampling === null ? [] : [sampling.paused ? 'p go on' : 'p pause', 's save']),
  ];
  return [span(keys.join('  '), 'dim')];
}

/** The last counts as a curve, the lowest of them at the bottom. */
export function trendText(counts: readonly number[], width: number, { trend }: Glyphs): string {
  const shown = counts.slice(-width);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const steps = trend.length - 1;
  return shown.map((n) => trend[high === low ? 0 : Math.round(((n - low) / (high - low)) * steps)] ?? '').join('');
}

export function rateText(rate: number): string {
  const text = Math.abs(rate) >= 100 ? rate.toFixed(0) : rate.toFixed(1);
  return Number(text) === 0 ? '0' : rate > 0 ? `+${text}` : text;
}

export function signed(n: number): string {
  return n > 0 ? `+${grouped(n)}` : n < 0 ? `-${grouped(-n)}` : '0';
}

export function waitText({ waitNs }: Row): string {
  if (waitNs === null) return '';
  const seconds = waitNs / 1e9;
  if (seconds < 1) return duration(waitNs).replace(' ', '');
  if (seconds < 100) return `${seconds.toFixed(0)}s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
  return `${Math.floor(seconds / 3600)}h${String(Math.floor((seconds % 3600) / 60)).padStart(2, '0')}m`;
}

/** The beginning and the end of a text that does not fit: both tell more than its middle. */
function cut(text: string, room: number, { ellipsis }: Glyphs): string {
  if (text.length <= room) return text;
  if (room <= 1) return text.slice(0, Math.max(0, room));
  const end = Math.floor((room - 1) * 0.7);
  return `${text.slice(0, room - 1 - end)}${ellipsis}${end === 0 ? '' : text.slice(-end)}`;
}

/** The end of a path. */
function tail(text: string, room: number, { ellipsis }: Glyphs): string {
  return text.length <= room ? text : `${ellipsis}${text.slice(1 - room)}`;
}

function highlighted(line: Line, columns: number): Line {
  return [
    span(
      line
        .map(({ text }) => text)
        .join('')
        .padEnd(columns),
      'selected',
    ),
  ];
}

function fitted(line: Line, columns: number): Line {
  let room = columns;
  const out: Span[] = [];
  for (const { text, style } of line) {
    if (room > 0) out.push(span(text.slice(0, room), style));
    room -= text.length;
  }
  return out;
}

function widthOf(line: Line): number {
  return line.reduce((sum, { text }) => sum + text.length, 0);
}

function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}
