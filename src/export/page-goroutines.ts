import type { GoProgram, Programs } from '../../analyze/program.js';
import { Describer } from '../../analyze/report/goroutines.js';
import type { Goroutine } from '../../analyze/report/model.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import type { Selection } from '../../analyze/report/selection.js';
import { visitSharedStacks, type SharedStack } from '../../analyze/report/shared-stacks.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { FLAGS, type PageGoroutines } from '../web/document.js';
import type { PageTables } from './page-tables.js';

/** The columns of the page that have a number for each goroutine. */
const COLUMNS = [
  ...(['goid', 'runtime', 'status', 'waitReason', 'waitSinceNs', 'entry', 'creator', 'current'] as const),
  ...(['stack', 'labels', 'work', 'parentGoid', 'flags'] as const),
];
type Columns = Record<(typeof COLUMNS)[number], number[]>;

/** The goroutines of a page, and the label sets that they have, and sets of what they work on. */
export interface CollectedGoroutines {
  readonly goroutines: Omit<PageGoroutines, 'waitsOn'>;
  readonly labelSets: TextSets['all'];
  readonly workSets: TextSets['all'];
}

/** Collects the selected goroutines of all programs: every distinct stack is followed to its lines once. */
export function collectGoroutines(programs: Programs, selection: Selection, tables: PageTables): CollectedGoroutines {
  const columns = emptyColumns();
  const threads: [number, number, number][] = [];
  const [labelSets, workSets] = [new TextSets(tables), new TextSets(tables)];
  for (const program of programs) {
    const own = collectRuntime(program, selection, tables, { labelSets, workSets });
    const order = ascendingOrder(Float64Array.from(own.columns.goid));
    const first = columns.goid.length;
    for (const name of COLUMNS) for (const row of order) columns[name].push(own.columns[name][row] ?? 0);
    order.forEach((row, i) => {
      const thread = own.threads.get(row);
      if (thread !== undefined && thread !== null) threads.push([first + i, thread.m, thread.tid]);
    });
  }
  return { goroutines: { ...columns, threads }, labelSets: labelSets.all, workSets: workSets.all };
}

function emptyColumns(): Columns {
  return Object.fromEntries(COLUMNS.map((name) => [name, []])) as unknown as Columns;
}

interface RuntimeRows {
  readonly columns: Columns;
  readonly threads: ReadonlyMap<number, Goroutine['thread']>;
}

/** The rows of one runtime, in the order in which their stacks are cheapest to read. */
function collectRuntime(
  program: GoProgram,
  selection: Selection,
  tables: PageTables,
  { labelSets, workSets }: { readonly labelSets: TextSets; readonly workSets: TextSets },
): RuntimeRows {
  const columns = emptyColumns();
  const threads = new Map<number, Goroutine['thread']>();
  const describer = new Describer(program);
  const stacks = new WeakMap<SharedStack, number>();
  visitSharedStacks([program], selection, ({ g, goroutine, stack }) => {
    let number = stacks.get(stack);
    if (number === undefined) stacks.set(stack, (number = tables.stack(stack)));
    if (goroutine.thread !== null) threads.set(columns.goid.length, goroutine.thread);
    columns.goid.push(goroutine.goid);
    columns.runtime.push(goroutine.runtime);
    columns.status.push(tables.string(goroutine.status));
    columns.waitReason.push(tables.string(goroutine.waitReason));
    columns.waitSinceNs.push(goroutine.waitSinceNs ?? -1);
    columns.entry.push(tables.loc(goroutine.entry));
    columns.creator.push(tables.loc(goroutine.creator));
    columns.current.push(tables.loc(goroutine.current));
    columns.stack.push(number);
    columns.labels.push(labelSets.of(Object.entries(goroutine.labels).flat()));
    columns.work.push(workSets.of(workOf(describer, g)));
    columns.parentGoid.push(goroutine.parentGoid ?? 0);
    columns.flags.push(flagsOf(goroutine));
  });
  return { columns, threads };
}

/** A text for each thing that a goroutine works on. */
function workOf(describer: Describer, g: G): string[] {
  return describer.toldWorkOf(g).map(({ kind, text, sure }) => `${kind}: ${sure ? '' : 'probably '}${text}`);
}

function flagsOf({ system, lockedToThread, torn }: Goroutine): number {
  return (system ? FLAGS.system : 0) + (lockedToThread ? FLAGS.lockedToThread : 0) + (torn ? FLAGS.torn : 0);
}

/** Numbers for lists of texts of which many goroutines have the same. */
class TextSets {
  readonly all: number[][] = [];
  readonly #tables: PageTables;
  readonly #byKey = new Map<string, number>();

  constructor(tables: PageTables) {
    this.#tables = tables;
  }

  of(texts: readonly string[]): number {
    if (texts.length === 0) return -1;
    const set = texts.map((text) => this.#tables.string(text));
    const key = set.join();
    let number = this.#byKey.get(key);
    if (number === undefined) {
      this.#byKey.set(key, (number = this.all.length));
      this.all.push(set);
    }
    return number;
  }
}
