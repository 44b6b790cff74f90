import type { CoreCheck } from '../targets/core-info.js';
import { crashLine } from './crash.js';
import { counted, grouped, printable, size } from './text.js';

/** Of long lists this many are shown. */
const SHOWN = 20;

type Row = readonly [label: string, text: string];

/** What is in a core, a line a fact; a crash comes first. */
export function coreInfoText(path: string, check: CoreCheck): string {
  const { target, executable, executableFound } = check;
  const rows: Row[] = [
    ['file', `${printable(path)}, an ELF core of ${size(check.sizeBytes)}`],
    [
      'whole',
      check.missingBytes === 0
        ? 'yes, as far as its headers tell'
        : `no, ${grouped(check.missingBytes)} bytes are missing`,
    ],
    ...check.problems.map((problem): Row => ['problem', printable(problem)]),
    ...listed(check.cut, 'cut', ({ start, end, path: file }) => `${start}-${end} ${printable(file)}`.trimEnd()),
  ];
  if (target !== null) {
    rows.push(['program', `${printable(target.bin)}, Go ${printable(target.goVersion)}, ${target.arch}`]);
  }
  rows.push(
    ['process', `pid ${check.pid}`],
    ['build id', printable(executable.buildId ?? executable.goBuildId ?? 'not known')],
    ['executable', executableFound === null ? 'not found' : `${printable(executableFound)}, the same code`],
    ['threads', grouped(check.threads)],
    ['mappings', grouped(check.mappings)],
    ['memory', `${size(check.memoryBytes)} of the process`],
    ...missingRows(check),
  );
  const width = Math.max(...rows.map(([label]) => label.length));
  return crashLine(target?.crash ?? null) + rows.map(([label, text]) => `${label.padEnd(width)}  ${text}\n`).join('');
}

function missingRows({ missing }: CoreCheck): Row[] {
  if (missing === null) return [['goroutines', 'none can be read']];
  const { stacks, more, unreadable } = missing;
  const incomplete = stacks.length + more;
  const rows: Row[] = [];
  if (incomplete + unreadable === 0) rows.push(['goroutines', 'all are whole']);
  if (unreadable > 0) rows.push(['lost', `${counted(unreadable, 'goroutine')} of which nothing can be said`]);
  if (incomplete > 0) rows.push(['incomplete', counted(incomplete, 'goroutine')]);
  rows.push(...listed(stacks, 'incomplete', ({ goid, reason }) => `goroutine ${goid}: ${printable(reason)}`));
  return rows;
}

function listed<T>(items: readonly T[], label: string, text: (item: T) => string): Row[] {
  const rows = items.slice(0, SHOWN).map((item): Row => [label, text(item)]);
  const more = items.length - rows.length;
  return more > 0 ? [...rows, [label, `and ${grouped(more)} more (--json has them)`]] : rows;
}
