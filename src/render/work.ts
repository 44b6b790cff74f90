import type { WorkingGoroutine, WorkItem } from '../../analyze/report/model.js';
import { ONLY_ONE, runtimeSuffix, type RuntimeName } from './runtimes.js';
import { printable } from './text.js';

/** `http-server: GET /orders from 10.0.0.4:5555, since 2026-01-02 15:04:05Z`; what is not sure begins with `probably`. */
export function workText({ kind, text, sure, since }: WorkItem): string {
  const time = since === null ? '' : `, since ${since.slice(0, 19).replace('T', ' ')}Z`;
  return `${kind}: ${sure ? '' : 'probably '}${printable(text)}${time}`;
}

/** What text shows of it: a channel only where nothing else is known, since those that a request or a connection waits on say little. */
export function shownWork(work: readonly WorkItem[]): readonly WorkItem[] {
  return work.length < 2 ? work : work.filter(({ kind }) => kind !== 'chan');
}

/** A line for each thing that goroutines work on, below a heading; nothing where none is known. */
export function* workTexts(goroutines: Iterable<WorkingGoroutine>, nameOf: RuntimeName = ONLY_ONE): Iterable<string> {
  let heading = 'work:\n';
  for (const { goid, runtime, work } of goroutines) {
    for (const one of shownWork(work)) {
      yield `${heading}  ${goid}  ${workText(one)}${runtimeSuffix(nameOf(runtime))}\n`;
      heading = '';
    }
  }
  if (heading === '') yield '\n';
}
