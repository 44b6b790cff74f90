import type { Programs } from '../../analyze/program.js';
import { listAll, runtimesOf, targetOfAll } from '../../analyze/report/all-runtimes.js';
import type { StreamedAnswer } from '../../analyze/report/answer.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { GoroutineJson } from '../render/stack-json.js';
import { jsonText } from '../render/text.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';

/** Writes goroutines as one JSON document of a schema. Holds only one of them at a time. */
export async function writeGoroutines(
  output: Pick<Output, 'put'>,
  programs: Programs,
  schema: string,
  goroutines: Iterable<GoroutineWithStack> & Pick<StreamedAnswer<unknown>, 'warnings'>,
): Promise<void> {
  await output.put(`{"schema":${jsonText(schema)},"target":${jsonText(targetOfAll(programs))},"goroutines":[`);
  const json = new GoroutineJson();
  let separator = '\n';
  for (const goroutine of goroutines) {
    await output.put(separator + json.textOf(goroutine));
    separator = ',\n';
  }
  const [runtimes, warnings] = [jsonText(runtimesOf(programs)), jsonText(goroutines.warnings)];
  await output.put(`\n],"runtimes":${runtimes},"warnings":${warnings}}\n`);
}

/** Writes goroutines, one JSON object a line. Holds only one of them at a time. */
export async function writeLines(output: Pick<Output, 'put'>, goroutines: Iterable<GoroutineWithStack>): Promise<void> {
  const json = new GoroutineJson();
  for (const goroutine of goroutines) await output.put(`${json.textOf(goroutine)}\n`);
}

/** The document that `gospy goroutines --json` prints. */
export async function exportJson(output: Output, { programs, query }: Source): Promise<void> {
  await writeGoroutines(output, programs, 'gospy.goroutines/1', listAll(programs, 'stack', query));
}

/** One goroutine of that document a line. */
export async function exportNdjson(output: Output, { programs, query }: Source): Promise<void> {
  await writeLines(output, listAll(programs, 'stack', query));
}
