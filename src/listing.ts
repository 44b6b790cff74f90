import type { Programs } from '../analyze/program.js';
import { targetOfAll } from '../analyze/report/all-runtimes.js';
import { StreamedAnswer } from '../analyze/report/answer.js';
import type { Query } from '../analyze/report/goroutines.js';
import type { Io } from './io.js';
import { crashLine } from './render/crash.js';
import { asBuilt, type PlaceOf } from './render/place.js';
import { selectionOf, type SelectionOptions } from './selection-options.js';

/** The goroutines, and their order, that the command line asks for. */
export function queryOf(options: SelectionOptions): Query {
  return { selection: selectionOf(options), sort: options.sort };
}

/** An answer of which only the first `limit` items are listed, all for 0. */
export function limitedAnswer<T>(items: StreamedAnswer<T>, limit: number): StreamedAnswer<T> {
  return new StreamedAnswer(
    () => limited(items, limit),
    () => items.warnings,
  );
}

/** The first `limit` items, or all for 0. */
export function* limited<T>(items: Iterable<T>, limit: number): Iterable<T> {
  let n = 0;
  for (const item of items) {
    if (limit !== 0 && n++ >= limit) return;
    yield item;
  }
}

/** How text names places in code, for a command with `--source-root`. Throws as sourcePlaces does. */
export async function placesOf(io: Io, { sourceRoot }: { readonly sourceRoot?: string }): Promise<PlaceOf> {
  if (sourceRoot === undefined && !io.takesLinks) return asBuilt;
  const { sourcePlaces } = await import('./source-places.js');
  return sourcePlaces(io, sourceRoot);
}

/** If the program crashed, writes the line that says so: in text it comes before everything else. */
export async function writeCrash(io: Io, programs: Programs): Promise<void> {
  await io.write(crashLine(targetOfAll(programs).crash));
}
