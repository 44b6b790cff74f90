import type { ChainStep, OwnEnds, WaitCycle, WaitReport, WaitStep } from '../../analyze/report/wait-documents.js';
import { isSure } from '../../analyze/waits/model.js';
import { limited } from '../listing.js';
import { runtimeSuffix, type RuntimeName } from './runtimes.js';
import { moreLine } from './summary.js';
import { duration, pluralize, printable, withThousands } from './text.js';
import { widthOf } from './width.js';

/** Columns that text takes at most: as wide as the narrowest terminals, since it is pasted into reports. */
const COLUMNS = 80;
/** Goroutines of a deadlock that its first line names. */
const NAMED = 8;
/** Spaces before the lines that go on with a sentence. */
const INDENT = 4;

/** Deadlocks, then what goroutines wait on with who has to end it, then what chains end at: at most `limit` of each, 0 for all. */
export function waitsText(report: WaitReport, limit: number, nameOf: RuntimeName): string {
  const { cycles, things, chains, chain, ends } = report;
  const listed = <T>(items: Iterable<T> & { readonly length: number }, textOf: (item: T) => string): string => {
    const shown = [...limited(items, limit)];
    return shown.map(textOf).join('') + (items.length > shown.length ? moreLine(items.length - shown.length) : '');
  };
  const sentence = ({ message, runtime }: { message: string; runtime: number }): string =>
    wrapped(`${message}${runtimeSuffix(nameOf(runtime))}`, 0);
  const sections = [
    listed(cycles, (cycle) => cycleText(cycle, nameOf)),
    chain.map((step) => chainText(step)).join(''),
    listed(things, sentence),
    listed(chains, sentence),
    chain.length > 0 ? '' : endsText(ends),
  ].filter((section) => section !== '');
  return sections.length === 0 ? 'No goroutine is known to wait for another one.\n' : sections.join('\n');
}

function chainText({ goid, func, message, leak }: ChainStep): string {
  const verdict =
    leak === null ? '' : wrapped(`    ${LEAKED.has(leak.code) ? 'leaked' : 'not leaked'}: ${leak.message}`, 4);
  return wrapped(`${goid} ${func} ${message}`, 0) + verdict;
}

/** Codes of evidence that a goroutine is leaked. */
const LEAKED: ReadonlySet<string> = new Set(['unreachable', 'deferred-only']);

function cycleText({ strength, steps, waiters, waitSinceNs, runtime }: WaitCycle, nameOf: RuntimeName): string {
  const word = isSure(strength) ? 'DEADLOCK' : 'POSSIBLE DEADLOCK';
  const who = steps.length === 1 ? `${steps[0]?.goid ?? 0} waits for itself` : `${namesOf(steps)} wait for each other`;
  const since = waitSinceNs === null ? '' : `, for ${duration(waitSinceNs)} or longer`;
  const behind = waiters === 0 ? '' : `; ${waiters} more wait behind ${steps.length === 1 ? 'it' : 'them'}`;
  const head = wrapped(`${word}  ${who}${since}${behind}${runtimeSuffix(nameOf(runtime))}`, 0);
  return head + steps.map(({ goid, func, message }) => wrapped(`  ${goid} ${func} ${message}`, 2)).join('');
}

/** `77, 91 and 4`; at most {@link NAMED} of them. */
function namesOf(steps: readonly WaitStep[]): string {
  const names = steps.slice(0, NAMED).map(({ goid }) => String(goid));
  const last = steps.length > NAMED ? `${withThousands(steps.length - NAMED)} more` : (names.pop() ?? '');
  return `${names.join(', ')} and ${last}`;
}

function endsText({ io, timers, nextDueNs }: OwnEnds): string {
  const parts = [
    ...(io === 0 ? [] : [`${pluralize(io, 'goroutine')} ${io === 1 ? 'waits' : 'wait'} for IO`]),
    ...(timers === 0 ? [] : [`${pluralize(timers, 'goroutine')} ${timers === 1 ? 'waits' : 'wait'} for a timer`]),
  ];
  const next = nextDueNs === null || nextDueNs < 0 ? '' : `; the next one fires in ${duration(nextDueNs)}`;
  return parts.length === 0 ? '' : wrapped(`${parts.join(', ')}${next}`, 0);
}

/** A sentence in lines of {@link COLUMNS}; those after the first are indented. A word that is longer has a line of its own. */
function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  const start = /^ */.exec(text)?.[0] ?? '';
  let line = '';
  for (const word of printable(text)
    .trimStart()
    .split(/ (?! )/)) {
    const next = line === '' ? `${lines.length === 0 ? start : ' '.repeat(indent + INDENT)}${word}` : `${line} ${word}`;
    if (line !== '' && widthOf(next) > COLUMNS) {
      lines.push(line);
      line = `${' '.repeat(indent + INDENT)}${word}`;
    } else line = next;
  }
  return [...lines, line].map((one) => `${one}\n`).join('');
}
