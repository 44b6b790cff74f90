import type { WaitEdge, WaitReport } from '../../analyze/report/wait-documents.js';
import { printable, withThousands } from './text.js';

/** Goroutines that are drawn one by one as waiting for the same; others become one node. */
const MAX_DRAWN = 8;
const STYLES: Readonly<Record<WaitEdge['strength'], string>> = {
  exact: 'solid',
  strong: 'solid',
  probable: 'dashed',
  candidate: 'dotted',
};

/** The edges as a graph in the language of Graphviz, for at most `limit` goroutines that are waited for, 0 for all. */
export function waitsDot({ edges, cycles }: WaitReport, limit: number): string {
  const groups = new Map<string, { readonly edge: WaitEdge; count: number; readonly from: number[] }>();
  const inCycle = new Set(cycles.flatMap(({ runtime, goids }) => goids.map((goid) => `${runtime}.${goid}`)));
  let last = '';
  for (const edge of edges) {
    const waiter = `${edge.runtime}.${edge.from}`;
    // Of each goroutine the best edge, which comes first; of those in a deadlock all.
    if (waiter === last && !inCycle.has(waiter)) continue;
    last = waiter;
    const key = `${edge.runtime} ${edge.to} ${edge.addr ?? ''} ${edge.strength}`;
    const group = groups.get(key) ?? { edge, count: 0, from: [] };
    groups.set(key, group);
    group.count++;
    if (group.from.length < MAX_DRAWN || inCycle.has(waiter)) group.from.push(edge.from);
  }
  const largest = [...groups.values()].sort(
    (a, b) => Number(isRed(b.edge, inCycle)) - Number(isRed(a.edge, inCycle)) || b.count - a.count,
  );
  const shown = limit === 0 ? largest : largest.slice(0, Math.max(limit, inCycle.size));
  const lines = shown.flatMap(({ edge, count, from }, i) => {
    const to = `${edge.runtime}.${edge.to}`;
    const why = [edge.addr ?? '', edge.evidence[0]?.message ?? ''].filter((text) => text !== '');
    const label = `[style=${STYLES[edge.strength]}, label="${why.map(quoted).join('\\n')}"]`;
    const more = count - from.length;
    const crowd = `crowd${i}`;
    return [
      ...from.map((goid) => `  "${edge.runtime}.${goid}" -> "${to}" ${label};`),
      ...(more === 0
        ? []
        : [`  ${crowd} [shape=box, label="${withThousands(more)} more"];`, `  ${crowd} -> "${to}" ${label};`]),
    ];
  });
  const red = [...inCycle].map((node) => `  "${node}" [color=red];`);
  return ['digraph waits {', '  node [shape=ellipse];', ...red, ...lines, '}', ''].join('\n');
}

function isRed({ runtime, from, to }: WaitEdge, inCycle: ReadonlySet<string>): boolean {
  return inCycle.has(`${runtime}.${from}`) && inCycle.has(`${runtime}.${to}`);
}

/** Text for between quotes. */
function quoted(text: string): string {
  return printable(text).replace(/["\\]/g, '\\$&');
}
