import { hex } from '../../snapshots/address.js';
import type { WaitsOn } from '../waits/model.js';
import type { Cycle } from '../waits/wait-graph.js';
import { thingAt, type Waits } from '../waits/program-waits.js';
import { byChannelEnd } from './channel-ends.js';
import { orderOf, waitText } from './wait-texts.js';

/** Goroutines that wait on one of many things that are alike. */
const MAX_FEW = 16;
/** Of those that may end the wait on one of them, as many are compared. */
const MAX_COMPARED = 8;

/** Things that are told in one sentence. */
export interface ListedThings {
  /** Their indexes. */
  readonly things: readonly number[];
  /** True if as many goroutines wait on each of them, in the same functions; false if they are one thing to a reader. */
  readonly areAlike: boolean;
}

interface OpenThings {
  readonly things: number[];
  areAlike: boolean;
}

/**
 * What is listed with who has to end the wait: locks first, and of a kind what most wait for. Without what only `cycles` wait for.
 * `funcOf` tells the function in which a goroutine waits, by its index.
 */
export function listThings(
  waits: Waits,
  cycles: readonly Cycle[],
  funcOf: (goroutine: number) => string,
): ListedThings[] {
  const { graph, things } = waits;
  const counts = graph.waiterCounts();
  const inCycles = new Uint32Array(things.length);
  for (const { things: over } of cycles) for (const thing of over) inCycles[thing] = (inCycles[thing] ?? 0) + 1;
  const listed = byChannelEnd(things).filter((group) => sumOf(counts, group) > sumOf(inCycles, group));
  const all = togetherIfAlike(waits, listed, counts, funcOf).map((one) => ({
    ...one,
    waiters: sumOf(counts, one.things),
    isOfNobody: one.things.every((thing) => isCaseOfNobody(waits, thing)),
  }));
  const told = new Set<number>();
  return all
    .sort((a, b) => Number(a.isOfNobody) - Number(b.isOfNobody) || Number(b.areAlike) - Number(a.areAlike))
    .flatMap((one) => {
      const goroutines = one.things.some((thing) => things[thing]?.kind === 'select')
        ? waitersOf(waits, one.things)
        : [];
      const waiters = one.isOfNobody ? untold(waits, goroutines, told) : one.waiters;
      const order = waiters === 0 ? null : orderOf(thingAt(waits, one.things[0] ?? 0), waiters);
      if (order === null) return [];
      for (const goroutine of goroutines) told.add(goroutine);
      return [{ ...one, order }];
    })
    .sort((a, b) => a.order - b.order || b.waiters - a.waiters);
}

/** Whether it is a case of a select that no goroutine is known to end. */
function isCaseOfNobody({ graph, things }: Waits, thing: number): boolean {
  return things[thing]?.kind === 'select' && graph.endersOf(thing).length === 0;
}

/**
 * How many of those that wait on cases of selects are to be told of. A goroutine of which somebody, or time, can end another case
 * waits for nobody in particular; any other is told of once, whatever its cases are.
 */
function untold(waits: Waits, goroutines: Iterable<number>, told: ReadonlySet<number>): number {
  const { graph } = waits;
  const isOpen = (thing: number): boolean => graph.needsOf(thing) !== 'itself' && isCaseOfNobody(waits, thing);
  let count = 0;
  for (const goroutine of goroutines) {
    if (!told.has(goroutine) && graph.thingsOf(goroutine).every(isOpen)) count++;
  }
  return count;
}

/** The indexes of those that wait on any of some things, each once. */
export function waitersOf({ graph }: Waits, things: readonly number[]): Set<number> {
  const waiters = new Set<number>();
  for (const thing of things) for (const goroutine of graph.waitersOf(thing, Infinity)) waiters.add(goroutine);
  return waiters;
}

/**
 * Puts those groups together in which few goroutines wait, in the same functions and in the same way, for nobody that is known
 * or for others that are alike: thousands that leaked at one place wait on a channel of their own each. Who holds a lock is told of
 * each. In the order of the first of them.
 */
function togetherIfAlike(
  waits: Waits,
  groups: readonly (readonly number[])[],
  counts: Uint32Array,
  funcOf: (goroutine: number) => string,
): ListedThings[] {
  const out: OpenThings[] = [];
  const places = new Map<string, OpenThings>();
  for (const group of groups) {
    const key = commonKey(waits, group, counts, funcOf);
    const known = key === null ? undefined : places.get(key);
    if (known === undefined) {
      const open = { things: [...group], areAlike: false };
      if (key !== null) places.set(key, open);
      out.push(open);
    } else {
      known.things.push(...group);
      known.areAlike = true;
    }
  }
  return out;
}

/** What few that wait on one thing have in common with others; else null. */
function commonKey(
  waits: Waits,
  [thing = 0, ...others]: readonly number[],
  counts: Uint32Array,
  funcOf: (goroutine: number) => string,
): string | null {
  if (others.length > 0 || (counts[thing] ?? 0) > MAX_FEW) return null;
  const on = thingAt(waits, thing);
  const enders = waits.graph.endersOf(thing);
  const referring = waits.referring.get(thing);
  const isHeld = waits.graph.needsOf(thing) === 'holder';
  if (orderOf(on, Infinity) === null || (isHeld && enders.length > 0)) return null;
  const by = enders.slice(0, MAX_COMPARED).map(({ goroutine, strength, evidence }) => {
    return `${strength} ${funcOf(goroutine)} ${evidence.map(({ message }) => message).join()}`;
  });
  return [
    withoutAddress(waitText(on), on),
    ...waitingFunctions(waits, thing, funcOf),
    enders.length,
    ...new Set(by),
    referring === undefined ? '' : funcOf(referring),
  ].join('\n');
}

/** The functions in which those wait that wait on one thing, each as often as there are such goroutines, by name. */
export function waitingFunctions(waits: Waits, thing: number, funcOf: (goroutine: number) => string): string[] {
  return Array.from(waits.graph.waitersOf(thing, MAX_FEW), funcOf).sort();
}

/** A text on one of many things that are alike, without its address: `waits to send on chan int (unbuffered)`. */
export function withoutAddress(text: string, { addr }: WaitsOn): string {
  return addr === null ? text : text.replace(` ${hex(addr)}`, '');
}

function sumOf(of: Uint32Array, things: readonly number[]): number {
  return things.reduce((sum, thing) => sum + (of[thing] ?? 0), 0);
}
