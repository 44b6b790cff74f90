import type { Programs } from '../../analyze/program.js';
import { waitsOfAll } from '../../analyze/report/all-runtimes.js';
import type { Wait } from '../../analyze/report/model.js';
import type { WaitReport } from '../../analyze/report/wait-documents.js';
import { waitText } from '../../analyze/report/wait-texts.js';
import { addr } from '../../snapshots/address.js';
import { limited } from '../listing.js';
import type { PageWaitEdge, PageWaitGraph, PageWaits } from '../web/document.js';
import type { PageTables } from './page-tables.js';

/** Entries of each list; the page says how many more there are. */
const MAX_LISTED = 1000;
/** Edges of the graph: more than can be drawn, for the table beside it. */
const MAX_EDGES = 500;
/** Goroutines that are named as waiting for one thing. */
const MAX_WAITERS = 8;
/** Cases of a select that are told. */
const MAX_CASES = 8;

/** What waits, for the page; and for the goroutines of each row, the number of the text that says what it waits on. */
export function collectWaits(
  programs: Programs,
  { goid, runtime }: { readonly goid: readonly number[]; readonly runtime: readonly number[] },
  tables: PageTables,
): { readonly waits: PageWaits; readonly waitsOn: number[] } {
  const report = waitsOfAll(programs).value;
  const texts = new Map<number, Map<number, number>>();
  for (const { goid, runtime, on } of report.goroutines) {
    let ofRuntime = texts.get(runtime);
    if (ofRuntime === undefined) texts.set(runtime, (ofRuntime = new Map<number, number>()));
    ofRuntime.set(goid, tables.string(textOf(on)));
  }
  const { cycles, things, chains, ends } = report;
  const waits = {
    cycles: cycles.slice(0, MAX_LISTED),
    cyclesMore: Math.max(0, cycles.length - MAX_LISTED),
    things: [...limited(things, MAX_LISTED)],
    thingsMore: Math.max(0, things.length - MAX_LISTED),
    chains: [...limited(chains, MAX_LISTED)],
    chainsMore: Math.max(0, chains.length - MAX_LISTED),
    ends,
    graph: graphOf(report),
  };
  return { waits, waitsOn: goid.map((id, row) => texts.get(runtime[row] ?? 0)?.get(id) ?? -1) };
}

/** What a goroutine waits on, in words. */
function textOf(on: readonly Wait[]): string {
  const cases = on.slice(0, MAX_CASES).map((wait) => {
    return waitText({ ...wait, addr: wait.addr === null ? null : addr(Number(wait.addr)) });
  });
  const more = on.length - cases.length;
  return [...cases, ...(more === 0 ? [] : [`or for ${more} more`])].join('; ');
}

/** The edges of goroutines that wait for the same one over the same thing, put together: those of deadlocks first, then the largest. */
function graphOf({ edges, cycles }: WaitReport): PageWaitGraph {
  const inCycle = new Set(cycles.flatMap(({ runtime, goids }) => goids.map((goid) => `${runtime}.${goid}`)));
  const groups = new Map<string, Omit<PageWaitEdge, 'from' | 'count'> & { from: number[]; count: number }>();
  let last = '';
  for (const { from, to, runtime, addr, strength, evidence } of edges) {
    const waiter = `${runtime}.${from}`;
    const ofCycle = inCycle.has(waiter) && inCycle.has(`${runtime}.${to}`);
    // Of each goroutine the best edge, which comes first; of those in a deadlock all.
    if (waiter === last && !ofCycle) continue;
    last = waiter;
    const key = `${runtime} ${to} ${addr ?? ''} ${strength} ${ofCycle}`;
    let group = groups.get(key);
    if (group === undefined) {
      const message = evidence[0]?.message ?? '';
      groups.set(key, (group = { runtime, from: [], count: 0, to, addr, strength, message, inCycle: ofCycle }));
    }
    group.count++;
    if (group.from.length < MAX_WAITERS) group.from.push(from);
  }
  const largest = [...groups.values()].sort(
    (a, b) => Number(b.inCycle) - Number(a.inCycle) || b.count - a.count || a.to - b.to,
  );
  return { edges: largest.slice(0, MAX_EDGES), more: Math.max(0, largest.length - MAX_EDGES) };
}
