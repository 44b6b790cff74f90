import type { GoroutineStatus } from '../runtime/goroutine.js';
import type { Goroutine } from './model.js';

/** Which goroutines to report: those that fulfil every condition that is given. */
export interface Selection {
  readonly statuses?: readonly GoroutineStatus[];
  /** The runtime's own words, complete. */
  readonly waitReason?: string;
  /** Matches the name of a function on the stack. */
  readonly func?: RegExp;
  /** Matches what the goroutine works on: the kind, a colon and the text. */
  readonly work?: RegExp;
  /** Labels that the goroutine has, with these values. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Shortest known wait. */
  readonly minWaitNs?: number;
  readonly goids?: readonly number[];
  /** True to leave out the runtime's own goroutines. */
  readonly noSystem?: boolean;
}

/** Orders of goroutines; equal ones stay in the order of their ids. */
export const SORTS = ['goid', 'wait', 'status', 'func'] as const;
export type Sort = (typeof SORTS)[number];

/** True for a selection that leaves no goroutine out. */
export function selectsAll({ noSystem = false, ...rest }: Selection): boolean {
  return !noSystem && Object.keys(rest).length === 0;
}

/** Returns whether a goroutine fulfils all conditions of the selection but `func` and `work`, which need its stack. */
export function matcher(selection: Selection): (g: Goroutine) => boolean {
  const { waitReason, minWaitNs, noSystem = false } = selection;
  const statuses = selection.statuses === undefined ? null : new Set(selection.statuses);
  const goids = selection.goids === undefined ? null : new Set(selection.goids);
  const labels = Object.entries(selection.labels ?? {});
  return (g) =>
    (statuses === null || statuses.has(g.status)) &&
    (goids === null || goids.has(g.goid)) &&
    (waitReason === undefined || g.waitReason === waitReason) &&
    (minWaitNs === undefined || (g.waitSinceNs !== null && g.waitSinceNs >= minWaitNs)) &&
    !(noSystem && g.system) &&
    labels.every(([key, value]) => Object.hasOwn(g.labels, key) && g.labels[key] === value);
}

/** Compares goroutines for a sort: the longest wait comes first, words are in alphabetical order. */
export function compareBy(sort: Sort): (a: Goroutine, b: Goroutine) => number {
  const byGoid = (a: Goroutine, b: Goroutine): number => a.goid - b.goid;
  switch (sort) {
    case 'goid':
      return byGoid;
    case 'wait':
      return (a, b) => (b.waitSinceNs ?? -1) - (a.waitSinceNs ?? -1) || byGoid(a, b);
    case 'status':
      return (a, b) =>
        compareText(a.status, b.status) || compareText(a.waitReason ?? '', b.waitReason ?? '') || byGoid(a, b);
    case 'func':
      return (a, b) => compareText(a.entry?.func ?? '', b.entry?.func ?? '') || byGoid(a, b);
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
