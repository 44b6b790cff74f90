import { listAll, waitsOfAll } from '../../analyze/report/all-runtimes.js';
import { selectsAll, type Selection } from '../../analyze/report/selection.js';
import { waitsDot } from '../render/waits-dot.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';

/** The graph of who waits for whom, of all goroutines or of those selected with whom they wait for. */
export async function exportDot(output: Output, { programs, query: { selection = {} } }: Source): Promise<void> {
  const { value: report } = waitsOfAll(programs);
  const isFrom = selectsAll(selection) ? null : selected(programs, selection);
  const edges = isFrom === null ? report.edges : [...report.edges].filter(isFrom);
  await output.write(waitsDot({ ...report, edges }, 0));
}

function selected(
  programs: Source['programs'],
  selection: Selection,
): (edge: { runtime: number; from: number }) => boolean {
  const known = new Set<string>();
  for (const { runtime, goid } of listAll(programs, 'plain', { selection })) known.add(`${runtime}.${goid}`);
  return ({ runtime, from }) => known.has(`${runtime}.${from}`);
}
