import { ageText } from '../../analyze/report/leak-suspects.js';
import type { AliveGroup, LeakGroup } from '../../analyze/report/leaks.js';
import type { Loc, Target } from '../../analyze/report/model.js';
import { basename } from 'node:path/posix';
import { pluralize, printable, withThousands } from './text.js';

/** What `gospy leaks` found. */
interface Found {
  readonly kind: Target['kind'];
  readonly captures: number;
  readonly proof: 'marked' | null;
  readonly groups: readonly LeakGroup[];
  readonly alive: readonly AliveGroup[];
}

const HEADS: Readonly<Record<LeakGroup['verdict'], string>> = {
  proved: 'LEAKED (proved)',
  growing: 'GROWING (never less, from capture to capture)',
  suspect: 'SUSPECTS (not proved: about one in two is wrong)',
};
const COLUMNS = 80;
const INDENT = '    ';
/** Goroutines whose ids are shown. */
const SHOWN_GOIDS = 5;

/** The groups as text, below a line for each verdict; `limit` is the most groups to show, 0 for all. */
export function* leaksText({ kind, captures, proof, groups, alive }: Found, limit: number): Iterable<string> {
  if (groups.length === 0) yield `No leak was found${captures > 1 ? ', and no group only grew' : ''}.\n`;
  const shown = limit === 0 ? groups : groups.slice(0, limit);
  for (const verdict of Object.keys(HEADS) as LeakGroup['verdict'][]) {
    const of = groups.filter((group) => group.verdict === verdict);
    if (of.length === 0) continue;
    const count = of.reduce((sum, group) => sum + group.count, 0);
    yield `${HEADS[verdict]}: ${pluralize(count, 'goroutine')} in ${pluralize(of.length, 'group')}\n`;
    for (const group of of) if (shown.includes(group)) yield groupText(group);
  }
  if (shown.length < groups.length) yield moreGroups(groups.length - shown.length);
  // Over several captures it is told of those that grow.
  if (captures === 1 && alive.length > 0) yield* aliveText(alive, limit);
  if (proof === null && kind === 'snapshot')
    yield wrapped('The heap was not marked: `gospy capture --leaks` takes that proof with a snapshot.', '');
}

function* aliveText(alive: readonly AliveGroup[], limit: number): Iterable<string> {
  const count = alive.reduce((sum, group) => sum + group.count, 0);
  const groups = `${pluralize(count, 'goroutine')} in ${pluralize(alive.length, 'group')} of ten or more`;
  yield `NOT LEAKED (proved: something reaches what they wait on): ${groups}\n`;
  const shown = limit === 0 ? alive : alive.slice(0, limit);
  for (const group of shown) yield groupText({ ...group, ratePerMinute: null, since: null });
  if (shown.length < alive.length) yield moreGroups(alive.length - shown.length);
}

function moreGroups(n: number): string {
  return `... ${withThousands(n)} more ${n === 1 ? 'group' : 'groups'} (--limit 0 prints all)\n`;
}

function groupText(group: AliveGroup & Pick<LeakGroup, 'ratePerMinute' | 'since'>): string {
  const { count, loc, entry, creator, waitReason, ageNs, ratePerMinute, since, evidence, goids } = group;
  const facts = [
    ...(waitReason === null ? [] : [printable(waitReason)]),
    ...(ageNs === null ? [] : [`oldest ${ageText(ageNs)}`]),
    ...(ratePerMinute === null ? [] : [`+${rateText(ratePerMinute)}/min`]),
    ...(since === null ? [] : [`since ${since}`]),
  ];
  const ids = goids.slice(0, SHOWN_GOIDS).join(', ');
  const more = goids.length > SHOWN_GOIDS ? ', ...' : '';
  const started = entry === null || entry.func === loc?.func ? '' : `, started as ${printable(entry.func)}`;
  return (
    wrapped(`${withThousands(count)} in ${place(loc)}${started}`, '  ') +
    (facts.length === 0 ? '' : wrapped(facts.join(', '), INDENT)) +
    (creator === null ? '' : wrapped(`created by ${place(creator)}`, INDENT)) +
    evidence.map(({ message }) => wrapped(printable(message), INDENT)).join('') +
    wrapped(`goroutines ${ids}${more}`, INDENT)
  );
}

function place(loc: Loc | null): string {
  return loc === null ? '?' : `${printable(loc.func)} ${printable(basename(loc.file))}:${loc.line}`;
}

function rateText(rate: number): string {
  return rate >= 10 ? withThousands(Math.round(rate)) : rate.toFixed(1);
}

/** Text in lines of 80 columns; what follows the first is indented further. */
function wrapped(text: string, indent: string): string {
  let out = '';
  let line = indent;
  for (const word of text.split(' ')) {
    const isFirst = line.trim() === '';
    if (!isFirst && line.length + 1 + word.length > COLUMNS) {
      out += `${line}\n`;
      line = `${indent}  ${word}`;
    } else line += isFirst ? word : ` ${word}`;
  }
  return `${out}${line}\n`;
}
