import type { Goroutine } from './model.js';
import type { GoroutineStatus } from '../runtime/goroutine.js';

/** Which goroutines are asked for; what is not given does not narrow. All that is given must hold. */
export interface Selection {
  readonly statuses?: readonly GoroutineStatus[];
  /** The runtime's own words, whole. */
  readonly waitReason?: string;
  /** Some frame's function matches. */
  readonly func?: RegExp;
  /** Labels that must be there with these values. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Known to have waited for at least so long. */
  readonly minWaitNs?: number;
  readonly goids?: readonly number[];
  /** Leaves the runtime's own goroutines out. */
  readonly noSystem?: boolean;
}

/** Orders in which goroutines are shown; equal ones stay in the order of their ids. */
export const SORTS = ['goid', 'wait', 'status', 'func'] as const;
export type Sort = (typeof SORTS)[number];

/** True where the selection looks at frames, which cost the most. */
export function needsFrames({ func }: Selection): boolean {
  return func !== undefined;
}

/** The test of a selection. */
export function selects(selection: Selection): (goroutine: Goroutine) => boolean {
  const { func, waitReason, minWaitNs } = selection;
  const statuses = selection.statuses === undefined ? null : new Set(selection.statuses);
  const goids = selection.goids === undefined ? null : new Set(selection.goids);
  const labels = Object.entries(selection.labels ?? {});
  return (g) =>
    (statuses === null || statuses.has(g.status)) &&
    (goids === null || goids.has(g.goid)) &&
    (waitReason === undefined || g.waitReason === waitReason) &&
    (minWaitNs === undefined || (g.waitSinceNs !== null && g.waitSinceNs >= minWaitNs)) &&
    (selection.noSystem !== true || !g.system) &&
    labels.every(([key, value]) => Object.hasOwn(g.labels, key) && g.labels[key] === value) &&
    (func === undefined || g.frames.some((frame) => func.test(frame.func)));
}

/** Compares for a sort: the longest wait first, words by the alphabet. */
export function comparison(sort: Sort): (a: Goroutine, b: Goroutine) => number {
  const byGoid = (a: Goroutine, b: Goroutine): number => a.goid - b.goid;
  switch (sort) {
    case 'goid':
      return byGoid;
    case 'wait':
      return (a, b) => (b.waitSinceNs ?? -1) - (a.waitSinceNs ?? -1) || byGoid(a, b);
    case 'status':
      return (a, b) => byText(a.status, b.status) || byText(a.waitReason ?? '', b.waitReason ?? '') || byGoid(a, b);
    case 'func':
      return (a, b) => byText(a.entry?.func ?? '', b.entry?.func ?? '') || byGoid(a, b);
  }
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
