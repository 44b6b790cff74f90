import type { Diff } from '../../analyze/report/diff.js';
import type { Changes, GoroutineState, GroupDiff, ListedGoroutine, Moved } from '../../analyze/report/diff-changes.js';
import type { Change } from '../../analyze/report/diff-scheduler.js';
import type { LongList } from '../../analyze/report/long-list.js';
import type { Target } from '../../analyze/report/model.js';
import { limited } from '../listing.js';
import { asBuilt, placeText, type PlaceOf } from './place.js';
import { runtimeNames, runtimeSuffix, type RuntimeName } from './runtimes.js';
import { table } from './table.js';
import { duration, pluralize, printable, withThousands } from './text.js';

/** What changed, as pieces of text, with `limit` lines of each list, or all for 0. */
export function* diffText(diff: Diff, limit: number, placeOf = asBuilt): Iterable<string> {
  yield [
    `before: ${targetText(diff.before)}, ${pluralize(diff.goroutines.before, 'goroutine')}\n`,
    `after:  ${targetText(diff.after)}, ${pluralize(diff.goroutines.after, 'goroutine')}\n`,
    `${relationText(diff)}\n`,
    ...runtimeLines(diff),
    diff.changes === null ? '' : `Goroutines: ${changesText(diff.changes)}\n`,
    schedulerText(diff),
    `\n${groupTable(diff, limit)}`,
  ].join('');
  if (diff.changes === null) return;
  const nameOf = runtimeNames(diff.runtimes);
  yield* listText('started', diff.changes.started, limit, nameOf, (item) => listedLine(item, placeOf));
  yield* listText('ended', diff.changes.ended, limit, nameOf, (item) => listedLine(item, placeOf));
  yield* listText('moved', diff.changes.moved, limit, nameOf, (item) => movedLine(item, placeOf));
}

/** A line for each runtime where there are several. */
function runtimeLines({ runtimes }: Diff): string[] {
  if (runtimes.length === 1) return [];
  return runtimes.map(
    ({ n, file, goVersion, goroutines: { before, after } }) =>
      `runtime ${n}: ${printable(file)}, Go ${printable(goVersion)}, goroutines: ${before} -> ${after}\n`,
  );
}

function targetText({ bin, pid, goVersion, capturedAt }: Target): string {
  return `${printable(bin)}, pid ${pid}, Go ${printable(goVersion)}, ${printable(capturedAt ?? 'at a time that is not known')}`;
}

function relationText({ relation: { kind, elapsedNs } }: Diff): string {
  const when =
    elapsedNs === null
      ? ''
      : `, ${duration(Math.abs(elapsedNs))} ${elapsedNs < 0 ? 'earlier: are they swapped?' : 'later'}`;
  if (kind === 'same-process') return `The same process${when}.`;
  const what = kind === 'same-build' ? 'Two processes of one build' : 'Two builds';
  return `${what}${when}: goroutines are compared by function names alone.`;
}

function changesText({ started, ended, moved, returned, parked }: Changes): string {
  return (
    `${withThousands(started.length)} started, ${withThousands(ended.length)} ended, ${withThousands(moved.length)} moved, ` +
    `${withThousands(returned.length)} ran and are back, ${withThousands(parked.length)} parked in the same place all the time`
  );
}

function schedulerText({ ps, ms, sched, runtimes }: Diff): string {
  const perP = ps.flatMap(({ id, runtime, schedtick, syscalltick }) => {
    const which = runtimes.length === 1 ? '' : `runtime ${runtime} `;
    return schedtick === null || syscalltick === null ? [] : [`${which}P${id} +${schedtick}/+${syscalltick}`];
  });
  const ticks =
    sched.schedtick === null || sched.syscalltick === null
      ? ''
      : `Ps: schedtick +${sched.schedtick}, syscalltick +${sched.syscalltick} (${perP.join(', ')})\n`;
  const changes =
    ms.started === null || ms.ended === null || ms.changed === null
      ? ''
      : ` (${ms.started.length} started, ${ms.ended.length} ended, ${ms.changed.length} run another goroutine)`;
  return (
    `${ticks}Ms: ${change(ms.total)}${changes}\n` +
    `Scheduler: run queue ${change(sched.runqsize)}; idle Ps ${change(sched.npidle)}; ` +
    `idle Ms ${change(sched.nmidle)}; spinning Ms ${change(sched.nmspinning)}; ` +
    `GC ${sched.gcPhase.before ?? '?'} -> ${sched.gcPhase.after ?? '?'}\n`
  );
}

function change({ before, after }: Change): string {
  return `${before} -> ${after}`;
}

function groupTable({ groups, changes, runtimes }: Diff, limit: number): string {
  const nameOf = runtimeNames(runtimes);
  const shown = limit === 0 ? groups : groups.slice(0, limit);
  const optional = changes === null ? [] : ['STARTED', 'ENDED'];
  const rows = shown.map((group) => [
    signed(group.growth),
    String(group.before),
    String(group.after),
    ...(changes === null ? [] : [String(group.started ?? ''), String(group.ended ?? '')]),
    `${keyText(group)}${runtimeSuffix(nameOf(group.runtime))}`,
  ]);
  return table(['GROWTH', 'BEFORE', 'AFTER', ...optional, 'GROUP'], rows) + more(groups.length - shown.length);
}

/** A key in one line: that of a stack has a line for each frame. */
function keyText({ key }: GroupDiff): string {
  return key.split('\n').map(printable).join(' < ');
}

/** A list with `limit` lines, or all for 0; nothing where it is empty. */
function* listText<T extends { readonly runtime: number }>(
  title: string,
  all: LongList<T>,
  limit: number,
  nameOf: RuntimeName,
  line: (item: T) => string,
): Iterable<string> {
  if (all.length === 0) return;
  yield `\n${title}:\n\n`;
  for (const item of limited(all, limit)) yield `${line(item)}${runtimeSuffix(nameOf(item.runtime))}\n`;
  if (limit !== 0) yield more(all.length - limit);
}

function listedLine(listed: ListedGoroutine, placeOf: PlaceOf): string {
  return `${listed.goid} - ${func(listed.entry)}, ${stateText(listed, placeOf)}`;
}

function movedLine({ goid, entry, before, after }: Moved, placeOf: PlaceOf): string {
  return `${goid} - ${func(entry)}: ${stateText(before, placeOf)} -> ${stateText(after, placeOf)}`;
}

function stateText({ status, waitReason, at }: GoroutineState, placeOf: PlaceOf): string {
  const place = at === null ? '' : ` at ${placeText(at, placeOf)}`;
  return `${printable(waitReason ?? status)}${place}`;
}

function func(loc: { readonly func: string } | null): string {
  return loc === null ? '?' : printable(loc.func);
}

function signed(n: number): string {
  return n > 0 ? `+${n}` : String(n);
}

function more(n: number): string {
  return n > 0 ? `... ${withThousands(n)} more (--limit 0 prints all)\n` : '';
}
