import { duration, pluralize, printable, withThousands } from '../render/text.js';
import { padEnd, padStart, takeStart, widthOf } from '../render/width.js';
import { cutBeginning, cutEnd, cutMiddle, rateText, signedText, trendText, waitText, type Glyphs } from './cells.js';
import { delta, ratePerSecond } from './history.js';
import { rowsOf, selectedIndex, type Row } from './rows.js';
import { bodyHeight, byName, currentLevel, historyOf, type State } from './state.js';

/** What a piece of text stands for; the terminal gives each its colour. */
export type Style = 'plain' | 'title' | 'head' | 'selected' | 'dim' | 'more' | 'less' | 'alert';

export interface Span {
  readonly text: string;
  readonly style: Style;
}
export type Line = readonly Span[];

/** From this many columns on, the state of a group has a column, and trends are long. */
const WIDE = 110;

const HELP = [
  'Keys',
  '  Up Down PgUp PgDn Home End (k j g G)   move',
  '  Enter          open a group, then the stack of a goroutine',
  '  Esc Backspace  go back',
  '  1 function  2 stack  3 wait  4 label  5 state  6 go statement  7 innermost',
  '  8 lock or channel, with who has to end the wait   9 what it works on',
  '                 choose what goroutines are grouped by; Tab takes the next one,',
  '                 4 again the next label',
  '  c d r w n      sort by count, delta, rate, wait, name; < > step through them',
  '  /              show only lines with a text; Esc shows all again',
  '  p              pause sampling, or go on',
  '  s              save a snapshot of what is on the screen',
  '  m              switch between live mode (nothing is stopped) and stop mode',
  '  + -            sample less often, more often',
  '  q              quit',
  '',
  'DELTA counts from the first sample on, RATE is over the last five seconds,',
  'WAIT is the longest known wait, a lower bound.',
  'Any key goes back.',
];

/** The whole screen: exactly `state.rows` lines, none wider than `state.columns`. Pure. */
export function screen(state: State, glyphs: Glyphs): Line[] {
  const height = bodyHeight(state);
  const body = state.help ? HELP.map((text) => [span(text)]) : bodyLines(state, glyphs);
  const lines = [...headLines(state, glyphs), ...Array.from({ length: height }, (_, i) => body[i] ?? []), foot(state)];
  return lines.slice(0, state.rows).map((line) => cutLine(line, state.columns));
}

const STATES = ['running', 'runnable', 'syscall', 'waiting', 'preempted', 'copystack', 'leaked', 'idle'] as const;

/** The lines above the list: the program, its goroutines, its scheduler, and the names of the columns. */
function headLines(state: State, glyphs: Glyphs): Line[] {
  if (state.view === null) return [[span('gospy top', 'title')], [], [], []];
  const { target, runtimes, goroutines, ps, threads, sched } = state.view.summary;
  const history = historyOf(state);
  const busy = ps.filter(({ status }) => status === 'running').length;
  const inSyscall = ps.filter(({ status }) => status === 'syscall').length;
  const global = runtimes.reduce((sum, runtime) => sum + runtime.sched.runqsize, 0);
  const queued = global + ps.reduce((sum, { runqsize }) => sum + runqsize, 0);
  const states = STATES.filter((s) => goroutines[s] > 0).map((s) => `${withThousands(goroutines[s])} ${s}`);
  const names = runtimes.map(({ file }) => printable(file.slice(file.lastIndexOf('/') + 1)));
  const releases = new Set(runtimes.map(({ goVersion }) => printable(goVersion)));
  const rate = ratePerSecond(history, history.total);
  const change = history.times.length < 2 ? null : delta(history.total);
  return [
    [
      span(`gospy top  ${names.join(' + ')}`, 'title'),
      span(`  pid ${target.pid}  Go ${[...releases].join(', ')}  `),
      ...samplingSpans(state),
    ],
    [
      span(`Goroutines ${withThousands(goroutines.total)}`, 'title'),
      ...(change === null ? [] : [span(` ${signedText(change)}`, change > 0 ? 'more' : change < 0 ? 'less' : 'dim')]),
      ...(rate === null ? [] : [span(` (${rateText(rate)}/s)`, 'dim')]),
      span(` ${trendText(history.total.counts, state.columns >= WIDE ? 30 : 8, glyphs)}`, 'dim'),
      span(`  ${states.join(', ')}`),
    ],
    [
      span(`Ps ${ps.length}: ${busy} running, ${inSyscall} syscall  Queued ${withThousands(queued)}  `),
      span(`GC ${sched.gcPhase ?? '?'}  Threads ${threads.total}`),
      ...(state.columns >= WIDE ? [span(`  grouped by ${byName(state.by)}, sorted by ${state.sort}`, 'dim')] : []),
    ],
    [span(padEnd(columnNames(state), state.columns), 'head')],
  ];
}

function samplingSpans({ sampling, pausedNs, samples, columns }: State): Span[] {
  if (sampling === null) return [span('file', 'dim')];
  const { mode, intervalMs, paused } = sampling;
  const stood = mode === 'stop' || pausedNs > 0 ? `, ${duration(pausedNs)} stopped` : '';
  return [
    ...(paused ? [span('PAUSED', 'alert'), span('  ')] : []),
    span(`${mode}, every ${intervalMs / 1000} s${stood}`, 'dim'),
    ...(columns >= WIDE ? [span(`, ${pluralize(samples, 'sample')}`, 'dim')] : []),
  ];
}

const TITLES = {
  start: 'FUNCTION',
  caller: 'GO STATEMENT',
  current: 'CURRENT',
  user: 'INNERMOST',
  app: 'APPLICATION',
  stack: 'STACK',
  wait: 'WAIT REASON',
  status: 'STATE',
  work: 'WORK',
  label: 'LABEL',
  locks: 'LOCK OR CHANNEL',
} as const;

function columnNames(state: State): string {
  const level = currentLevel(state);
  if (level.kind === 'stack') return 'STACK';
  if (level.kind === 'goroutines') {
    return `${padStart('GOID', 9)} ${padStart('WAIT', 8)} ${padEnd('STATE', STATE_COLUMNS)} WHERE`;
  }
  const title = state.by.kind === 'label' ? `LABEL ${printable(state.by.key)}` : TITLES[state.by.kind];
  const stateColumn = hasStateColumn(state) ? `${padEnd('STATE', STATE_COLUMNS)} ` : '';
  const mark = (text: string, key: State['sort']): string => (state.sort === key ? `${text}*` : text);
  return (
    `${padStart(mark('COUNT', 'count'), 8)} ${padStart(mark('DELTA', 'delta'), 8)} ` +
    `${padStart(mark('RATE/S', 'rate'), 8)} ${padEnd('TREND', trendColumns(state))} ` +
    `${padStart(mark('WAIT', 'wait'), 8)} ${stateColumn}${mark(title, 'name')}`
  );
}

const STATE_COLUMNS = 18;

function hasStateColumn({ columns, by }: State): boolean {
  return columns >= WIDE && by.kind !== 'wait' && by.kind !== 'status';
}

function trendColumns({ columns }: State): number {
  return columns >= WIDE ? 20 : 8;
}

function bodyLines(state: State, glyphs: Glyphs): Line[] {
  const level = currentLevel(state);
  const rows = rowsOf(state).slice(level.top, level.top + bodyHeight(state));
  if (!isViewCurrent(state)) return [[span('...', 'dim')]];
  if (level.kind === 'stack') return rows.map(({ name }) => [span(name, name.startsWith('    ') ? 'dim' : 'plain')]);
  const selected = selectedIndex(state) - level.top;
  const line = level.kind === 'groups' ? groupLine : goroutineLine;
  if (rows.length === 0)
    return [[span(state.filter === '' ? 'none' : `no line has "${printable(state.filter)}" in it`, 'dim')]];
  return rows.map((row, i) => {
    const spans = line(row, state, glyphs);
    return i === selected ? highlight(spans, state.columns) : spans;
  });
}

/** False until the view has what the current level shows. */
function isViewCurrent(state: State): boolean {
  const level = currentLevel(state);
  const { open, goid } = state.view?.question ?? { open: null, goid: null };
  return level.kind === 'groups' || (level.kind === 'goroutines' ? open === level.key : goid === level.goid);
}

function groupLine(row: Row, state: State, glyphs: Glyphs): Line {
  const stateColumn = hasStateColumn(state) ? `${stateCell(row, glyphs)} ` : '';
  const { delta: change, ratePerSecond: rate } = row;
  const style = change === null || change === 0 ? 'dim' : change > 0 ? 'more' : 'less';
  const left = [
    span(`${padStart(withThousands(row.count), 8)} `),
    span(`${padStart(change === null ? '' : signedText(change), 8)} `, style),
    span(`${padStart(rate === null ? '' : rateText(rate), 8)} `, style),
    span(`${padEnd(trendText(row.trend, trendColumns(state), glyphs), trendColumns(state))} `, 'dim'),
    span(`${padStart(waitText(row.waitNs), 8)} ${stateColumn}`),
  ];
  const room = state.columns - lineWidth(left);
  // A sentence, whose beginning says the most.
  if (state.by.kind === 'locks') return [...left, span(cutEnd(row.name, room, glyphs))];
  return [...left, ...nameSpans(row, room, glyphs)];
}

function goroutineLine(row: Row, state: State, glyphs: Glyphs): Line {
  const left = [span(`${padStart(row.id, 9)} ${padStart(waitText(row.waitNs), 8)} ${stateCell(row, glyphs)} `)];
  return [...left, ...nameSpans(row, state.columns - lineWidth(left), glyphs)];
}

function stateCell({ state }: Row, glyphs: Glyphs): string {
  return padEnd(cutMiddle(state, STATE_COLUMNS, glyphs), STATE_COLUMNS);
}

/** The name, whole if it fits, and the end of its file if there is room for it. */
function nameSpans({ name, file }: Row, columns: number, glyphs: Glyphs): Span[] {
  const left = columns - widthOf(name) - 1;
  if (file === '' || left < LEAST_FILE) return [span(cutMiddle(name, columns, glyphs))];
  return [span(`${name} `), span(cutBeginning(file, left, glyphs), 'dim')];
}

const LEAST_FILE = 8;

function foot(state: State): Line {
  const { typing, filter, message, sampling } = state;
  if (typing) return [span('/', 'head'), span(`${printable(filter)}_`), span('  Enter keeps it, Esc drops it', 'dim')];
  if (message !== null) return [span(printable(message), 'alert')];
  if (filter !== '') return [span(`Only lines with "${printable(filter)}": Esc shows all`, 'alert')];
  const level = currentLevel(state);
  const keys = [
    'q quit',
    '? help',
    ...(level.kind === 'stack' ? [] : ['Enter open']),
    ...(level.kind === 'groups' ? ['1-9 group'] : ['Esc back']),
    ...(level.kind === 'stack' ? [] : ['cdrwn sort']),
    '/ filter',
    ...(sampling === null ? [] : [sampling.paused ? 'p go on' : 'p pause', 's save']),
  ];
  return [span(keys.join('  '), 'dim')];
}

/** The whole line as one span across the screen. */
function highlight(line: Line, columns: number): Line {
  const text = line.map((part) => part.text).join('');
  return [span(padEnd(text, columns), 'selected')];
}

/** The beginning of a line that fits in `columns`. */
function cutLine(line: Line, columns: number): Line {
  let left = columns;
  const out: Span[] = [];
  for (const { text, style } of line) {
    if (left > 0) out.push(span(takeStart(text, left), style));
    left -= widthOf(text);
  }
  return out;
}

function lineWidth(line: Line): number {
  return line.reduce((sum, { text }) => sum + widthOf(text), 0);
}

function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}
