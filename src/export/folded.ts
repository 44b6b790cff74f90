import { printable } from '../render/text.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';
import { countStacks, outwards } from './stack-counts.js';

/**
 * A line a stack: its functions from the outermost inwards with semicolons between, and how many goroutines have it
 * (flamegraph.pl and others read it). The most frequent one first.
 */
export async function exportFolded(output: Output, source: Source): Promise<void> {
  const counts = countStacks(source, (stack) => outwards(stack).map(nameOf).join(';'));
  const sorted = [...counts].sort(([a, x], [b, y]) => y.count - x.count || (a < b ? -1 : 1));
  for (const [stack, { count }] of sorted) await output.write(`${stack} ${count}\n`);
}

/** A semicolon in a name would end it. */
function nameOf(func: string): string {
  return printable(func).replaceAll(';', '\\x3b');
}
