import type { GoProgram } from '../analyze/program.js';
import { listGoroutines, type Detail } from '../analyze/report/goroutines.js';
import type { Goroutine } from '../analyze/report/model.js';
import type { Warning } from '../analyze/warnings.js';
import { crashOf } from '../analyze/report/crash.js';
import { targetOf } from '../analyze/report/summary.js';
import { comparison, needsFrames, selects } from '../analyze/report/selection.js';
import type { Io } from './io.js';
import { crashLine } from './render/crash.js';
import { selectionOf, type SelectionOptions } from './selection-options.js';

/** The goroutines that the options select, in their order; held back only where an order other than by id is asked for. */
export function* selectedGoroutines(
  program: GoProgram,
  options: SelectionOptions,
  detail: Detail,
): Iterable<Goroutine> {
  const selection = selectionOf(options);
  const wanted = selects(selection);
  const all = listGoroutines(program, { ...detail, frames: detail.frames || needsFrames(selection) });
  if (options.sort === 'goid') {
    for (const g of all) if (wanted(g)) yield g;
    return;
  }
  yield* [...all].filter(wanted).sort(comparison(options.sort));
}

/** At most `limit` of them, 0 for all. */
export function* limited<T>(items: Iterable<T>, limit: number): Iterable<T> {
  let n = 0;
  for (const item of items) {
    if (limit !== 0 && n++ >= limit) return;
    yield item;
  }
}

/** Writes goroutines as one JSON document, one after another: no list of a million is held. */
export async function writeGoroutines(
  io: Io,
  program: GoProgram,
  schema: string,
  goroutines: Iterable<Goroutine>,
): Promise<void> {
  await io.write(`{"schema":${JSON.stringify(schema)},"target":${JSON.stringify(targetOf(program))},"goroutines":[`);
  let separator = '\n';
  for (const goroutine of goroutines) {
    await io.write(separator + JSON.stringify(goroutine));
    separator = ',\n';
  }
  await io.write(`\n],"warnings":${JSON.stringify(warningsOf(program))}}\n`);
}

/** Names the crash of a program that had one, ahead of everything else in text. */
export async function writeCrash(io: Io, program: GoProgram): Promise<void> {
  await io.write(crashLine(crashOf(program)));
}

/** What the capture and the analysis could not tell. */
export function warningsOf(program: GoProgram): Warning[] {
  return [...program.image.capture.warnings, ...program.warnings];
}
