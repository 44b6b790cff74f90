import type { Programs } from '../analyze/program.js';
import { runtimesOf, targetOfAll } from '../analyze/report/all-runtimes.js';
import type { StreamedAnswer } from '../analyze/report/answer.js';
import type { Query } from '../analyze/report/goroutines.js';
import type { GoroutineWithStack } from '../analyze/report/model.js';
import type { Io } from './io.js';
import { crashLine } from './render/crash.js';
import { jsonText } from './render/text.js';
import { selectionOf, type SelectionOptions } from './selection-options.js';

/** The goroutines, and their order, that the command line asks for. */
export function queryOf(options: SelectionOptions): Query {
  return { selection: selectionOf(options), sort: options.sort };
}

/** The first `limit` items, or all for 0. */
export function* limited<T>(items: Iterable<T>, limit: number): Iterable<T> {
  let n = 0;
  for (const item of items) {
    if (limit !== 0 && n++ >= limit) return;
    yield item;
  }
}

/** Writes at most `limit` goroutines, or all for 0, as one JSON document. Holds only one of them at a time. */
export async function writeGoroutines(
  io: Io,
  programs: Programs,
  schema: string,
  goroutines: StreamedAnswer<GoroutineWithStack>,
  limit: number,
): Promise<void> {
  await io.write(`{"schema":${jsonText(schema)},"target":${jsonText(targetOfAll(programs))},"goroutines":[`);
  let separator = '\n';
  for (const goroutine of limited(goroutines, limit)) {
    await io.write(separator + jsonText(goroutine));
    separator = ',\n';
  }
  const [runtimes, warnings] = [jsonText(runtimesOf(programs)), jsonText(goroutines.warnings)];
  await io.write(`\n],"runtimes":${runtimes},"warnings":${warnings}}\n`);
}

/** If the program crashed, writes the line that says so: in text it comes before everything else. */
export async function writeCrash(io: Io, programs: Programs): Promise<void> {
  await io.write(crashLine(targetOfAll(programs).crash));
}
