import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';

/**
 * Finds functions of package runtime by name, without the `runtime.`. Where the image has little code, as in a snapshot,
 * only functions whose code it has are found. Functions after a damaged part of the table may be missing.
 */
export function runtimeFunctions(memory: Memory, table: FunctionTable, names: readonly string[]): Map<string, Func> {
  const wanted = new Set(names.map((n) => `runtime.${n}`));
  const { text, etext } = table.module;
  const present = [...memory.ranges(text, etext)];
  const bytes = present.reduce((sum, { lo, hi }) => sum + hi - lo, 0);
  const found = new Map<string, Func>();
  onFault(
    () => {
      const funcs = bytes * 4 < etext - text ? functionsWithin(table, present) : table.named(wanted).values();
      for (const func of funcs) if (wanted.has(func.name) && !found.has(func.name)) found.set(func.name, func);
    },
    () => undefined,
  );
  return new Map([...found].map(([name, func]) => [name.slice('runtime.'.length), func]));
}

function* functionsWithin(table: FunctionTable, ranges: readonly Range[]): Iterable<Func> {
  for (const { lo, hi } of ranges) {
    for (let func = table.find(lo); func !== null && func.entry < hi;) {
      yield func;
      const next = table.find(func.end);
      if (next === null || next.index <= func.index) break;
      func = next;
    }
  }
}
