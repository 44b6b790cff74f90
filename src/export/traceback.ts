import { listAll } from '../../analyze/report/all-runtimes.js';
import { namesOf } from '../render/runtimes.js';
import { tracebackTexts } from '../render/traceback.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';

/** The text of Go's own traceback. `labels` adds pprof labels, which readers made for releases before Go 1.27 do not take. */
export async function exportTraceback(output: Output, { programs, query }: Source, labels: boolean): Promise<void> {
  const tracebacks = listAll(programs, 'traceback', query);
  for (const text of tracebackTexts(tracebacks, namesOf(programs), labels)) await output.write(text);
}
