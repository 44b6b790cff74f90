import type { Evidence, Strength } from './model.js';
import { cyclicComponents, successorsOf, type Successors } from './strongly-connected.js';

/** The strongest first. */
export const STRENGTHS: readonly Strength[] = ['exact', 'strong', 'probable', 'candidate'];

/**
 * What has to happen for a wait to end: `any` of those that may end it does so, as with a channel; `all` of them do, as the
 * readers of an RWMutex before a writer gets it; the `holder` does, who is one of those with the best evidence; or it ends by
 * `itself`, as a timer does.
 */
export type Needs = 'any' | 'all' | 'holder' | 'itself';

/** Who may end the waits on a thing. */
export interface Ender {
  /** The index of the goroutine. */
  readonly goroutine: number;
  readonly strength: Strength;
  readonly evidence: readonly Evidence[];
}

/** Goroutines each of which waits for the next one, and the last for the first. */
export interface Cycle {
  /** Indexes of goroutines. */
  readonly goroutines: readonly number[];
  /** What each of them waits on, which the next one has to end. */
  readonly things: readonly number[];
  /** That of its weakest edge. */
  readonly strength: Strength;
}

/** What a chain of waits ends at. */
export type Root =
  | { readonly kind: 'goroutine'; readonly goroutine: number; readonly waiters: number }
  | { readonly kind: 'thing'; readonly thing: number; readonly waiters: number }
  | { readonly kind: 'cycle'; readonly cycle: number; readonly waiters: number };

/** Nodes that may be visited to find a shortest cycle of one component: it is searched from so many goroutines of it. */
const MAX_VISITED = 1 << 18;
const NONE = 0xffffffff;

/**
 * Who waits for whom. Goroutines wait on things, such as a lock, and things are ended by goroutines: thus a lock that
 * 50,000 wait for takes 50,000 edges to it and one from it. Goroutines and things are named by their indexes, from 0 on.
 */
export class WaitGraph {
  readonly goroutines: number;
  readonly #needs: Needs[] = [];
  readonly #enders: (readonly Ender[])[] = [];
  readonly #waiting: number[] = [];
  readonly #waitedOn: number[] = [];
  /** By goroutine, its things; by thing, those who wait on it: until more is added. */
  #things: Successors | null = null;
  #waiters: Successors | null = null;

  /** Of so many goroutines. */
  constructor(goroutines: number) {
    this.goroutines = goroutines;
  }

  get things(): number {
    return this.#needs.length;
  }

  /** Adds a thing to wait on, and returns its index. */
  addThing(needs: Needs): number {
    this.#enders.push([]);
    this.#waiters = null;
    return this.#needs.push(needs) - 1;
  }

  /** Says what ends the waits on each of some things. The best come first; of one strength, those that were given first. */
  setEnders(things: readonly number[], needs: Needs, enders: readonly Ender[]): void {
    const rank = ({ strength }: Ender): number => STRENGTHS.indexOf(strength);
    const sorted = [...enders].sort((a, b) => rank(a) - rank(b));
    for (const thing of things) {
      this.#needs[thing] = needs;
      this.#enders[thing] = sorted;
    }
  }

  /** Says that a goroutine waits on a thing. One that waits on several goes on as soon as one wait ends. */
  addWait(goroutine: number, thing: number): void {
    this.#waiting.push(goroutine);
    this.#waitedOn.push(thing);
    this.#things = null;
    this.#waiters = null;
  }

  endersOf(thing: number): readonly Ender[] {
    return this.#enders[thing] ?? [];
  }

  needsOf(thing: number): Needs {
    return this.#needs[thing] ?? 'itself';
  }

  /** What a goroutine waits on, in the order in which that was added. */
  thingsOf(goroutine: number): Uint32Array {
    const { starts, targets } = (this.#things ??= successorsOf(this.goroutines, this.#waiting, this.#waitedOn));
    return targets.subarray(starts[goroutine], starts[goroutine + 1]);
  }

  /** Those that a deadlock may lead over: of the possible holders of a lock, the likeliest. */
  #likelyEnders(thing: number): readonly Ender[] {
    const enders = this.endersOf(thing);
    return this.needsOf(thing) === 'holder'
      ? enders.filter(({ strength }) => strength === enders[0]?.strength)
      : enders;
  }

  /** How many goroutines wait on each thing. */
  waiterCounts(): Uint32Array {
    const counts = new Uint32Array(this.things);
    for (const thing of this.#waitedOn) counts[thing] = (counts[thing] ?? 0) + 1;
    return counts;
  }

  /** The goroutines that wait on a thing, in the order in which that was added, at most `limit` of them. */
  waitersOf(thing: number, limit: number): Uint32Array {
    const { starts, targets } = (this.#waiters ??= successorsOf(this.things, this.#waitedOn, this.#waiting));
    const from = starts[thing] ?? 0;
    return targets.subarray(from, Math.min(starts[thing + 1] ?? 0, from + limit));
  }

  /**
   * The deadlocks, the most certain first: a shortest cycle of each group of goroutines that wait for each other, where
   * nobody outside, nor time, can end a wait.
   */
  cycles(): Cycle[] {
    const stuck = this.#stuck();
    const out: Cycle[] = [];
    const told = new Uint8Array(this.goroutines);
    const graph = this.#stuckEdges(stuck);
    if (graph.targets.length === 0) return out;
    const levels = this.#levels();
    for (let level = 0; level < STRENGTHS.length; level++) {
      const follows = (from: number, to: number): boolean => (levels.get(pair(from, to)) ?? 0) <= level;
      for (const component of cyclicComponents(graph, follows)) {
        const members = component.filter((node) => node < this.goroutines);
        if (members.some((goroutine) => told[goroutine] === 1)) continue;
        const cycle = this.#shortest(graph, follows, component, members);
        if (cycle === null) continue;
        for (const goroutine of members) told[goroutine] = 1;
        out.push(cycle);
      }
    }
    return out;
  }

  /** Where chains of waits end, the one with the most waiters first. Each goroutine counts for one root. */
  roots(cycles: readonly Cycle[]): Root[] {
    const n = this.goroutines;
    /** By goroutine, then by thing, then by cycle: how many goroutines have it as their root. */
    const waiters = new Uint32Array(n + this.things + cycles.length);
    const rootOf = new Uint32Array(n).fill(NONE);
    cycles.forEach(({ goroutines }, i) => goroutines.forEach((g) => (rootOf[g] = n + this.things + i)));
    const onPath = new Uint8Array(n);
    const path: number[] = [];
    for (let start = 0; start < n; start++) {
      let at = start;
      let root = NONE;
      while (root === NONE) {
        const known = rootOf[at] ?? NONE;
        if (known !== NONE || onPath[at] === 1) {
          root = known === NONE ? at : known;
          break;
        }
        onPath[at] = 1;
        path.push(at);
        const next = this.#nextOf(at);
        if (next === null) root = at;
        else if (next >= n) root = next;
        else at = next;
      }
      for (const goroutine of path) {
        onPath[goroutine] = 0;
        rootOf[goroutine] = root;
        if (goroutine !== root) waiters[root] = (waiters[root] ?? 0) + 1;
      }
      path.length = 0;
    }
    const out: Root[] = [];
    waiters.forEach((count, node) => {
      if (count === 0) return;
      if (node < n) out.push({ kind: 'goroutine', goroutine: node, waiters: count });
      else if (node < n + this.things) out.push({ kind: 'thing', thing: node - n, waiters: count });
      else out.push({ kind: 'cycle', cycle: node - n - this.things, waiters: count });
    });
    return out.sort((a, b) => b.waiters - a.waiters);
  }

  /**
   * Whom a goroutine waits for: the best ender of all that it waits on; or else what ends by itself. null where it waits on
   * nothing.
   */
  bestOf(goroutine: number): { readonly thing: number; readonly ender: Ender | null } | null {
    let best: { thing: number; ender: Ender | null } | null = null;
    let rank = Infinity;
    for (const thing of this.thingsOf(goroutine)) {
      const [ender] = this.endersOf(thing);
      const byItself = this.needsOf(thing) === 'itself' ? 0 : 1;
      const own = ender === undefined ? STRENGTHS.length + byItself : STRENGTHS.indexOf(ender.strength);
      if (best !== null && own >= rank) continue;
      best = { thing, ender: ender ?? null };
      rank = own;
    }
    return best;
  }

  /** The goroutine that a chain goes on with, or the thing that it ends at, after all goroutines; null where it waits on nothing that others end. */
  #nextOf(goroutine: number): number | null {
    const best = this.bestOf(goroutine);
    if (best === null) return null;
    if (best.ender !== null) return best.ender.goroutine;
    return this.needsOf(best.thing) === 'itself' ? null : this.goroutines + best.thing;
  }

  /**
   * By node, 1 for goroutines and things whose waits can end only if another stuck one's does: the largest such set. A
   * goroutine that waits on nothing is not stuck, nor is a thing that ends by itself, or of which nobody is known to end it.
   */
  #stuck(): Uint8Array {
    const n = this.goroutines;
    const stuck = new Uint8Array(n + this.things).fill(1);
    /** By thing, how many of those that have to end it are still thought to be stuck. */
    const missing = new Uint32Array(this.things);
    const [ended, by]: [number[], number[]] = [[], []];
    const freed: number[] = [];
    const free = (node: number): void => {
      if (stuck[node] === 0) return;
      stuck[node] = 0;
      freed.push(node);
    };
    for (let thing = 0; thing < this.things; thing++) {
      const enders = this.#likelyEnders(thing);
      const needs = this.needsOf(thing);
      missing[thing] = needs === 'all' ? enders.length : 1;
      for (const { goroutine } of enders) {
        by.push(goroutine);
        ended.push(thing);
      }
      if (needs === 'itself' || enders.length === 0) free(n + thing);
    }
    for (let g = 0; g < n; g++) if (this.thingsOf(g).length === 0) free(g);
    const endedBy = successorsOf(n, by, ended);
    for (let node = freed.pop(); node !== undefined; node = freed.pop()) {
      if (node >= n) {
        const thing = node - n;
        for (const g of this.waitersOf(thing, Infinity)) free(g);
        continue;
      }
      for (const thing of endedBy.targets.subarray(endedBy.starts[node], endedBy.starts[node + 1])) {
        const left = (missing[thing] ?? 0) - 1;
        if (left >= 0) missing[thing] = left;
        if (left === 0) free(n + thing);
      }
    }
    return stuck;
  }

  /** The edges between stuck nodes: goroutines, then things. */
  #stuckEdges(stuck: Uint8Array): Successors {
    const n = this.goroutines;
    const [from, to]: [number[], number[]] = [[], []];
    for (let i = 0; i < this.#waiting.length; i++) {
      const [g, node] = [this.#waiting[i] ?? 0, n + (this.#waitedOn[i] ?? 0)];
      if (stuck[g] === 0 || stuck[node] === 0) continue;
      from.push(g);
      to.push(node);
    }
    for (let thing = 0; thing < this.things; thing++) {
      if (stuck[n + thing] === 0) continue;
      for (const { goroutine } of this.#likelyEnders(thing)) {
        if (stuck[goroutine] === 0) continue;
        from.push(n + thing);
        to.push(goroutine);
      }
    }
    return successorsOf(n + this.things, from, to);
  }

  /** By edge from a thing, how strong it is: 0 for the strongest. Edges to things are facts. */
  #levels(): Map<number, number> {
    const levels = new Map<number, number>();
    for (let thing = 0; thing < this.things; thing++) {
      for (const { goroutine, strength } of this.endersOf(thing)) {
        const key = pair(this.goroutines + thing, goroutine);
        levels.set(key, Math.min(levels.get(key) ?? STRENGTHS.length, STRENGTHS.indexOf(strength)));
      }
    }
    return levels;
  }

  /** A cycle of a component with as few goroutines as any through those that are tried. */
  #shortest(
    graph: Successors,
    follows: (from: number, to: number) => boolean,
    component: readonly number[],
    members: readonly number[],
  ): Cycle | null {
    const inside = new Set(component);
    let best: number[] | null = null;
    const starts = Math.ceil(MAX_VISITED / component.length);
    for (const start of [...members].sort((a, b) => a - b).slice(0, starts)) {
      const cycle = cycleThrough(graph, start, (v, w) => inside.has(w) && follows(v, w));
      if (cycle !== null && (best === null || cycle.length < best.length)) best = cycle;
    }
    return best === null ? null : this.#cycleOf(this.#withPartner(best));
  }

  /**
   * Where a goroutine waits for what it could end itself, but others could, too, that wait for the same: the one of them comes
   * in as well, since each waits for the other just as much.
   */
  #withPartner(nodes: readonly number[]): readonly number[] {
    const [goroutine = 0, thing = 0, ...more] = nodes;
    if (more.length > 0 || this.needsOf(thing - this.goroutines) !== 'any') return nodes;
    const partner = this.endersOf(thing - this.goroutines).find((ender) => {
      return ender.goroutine !== goroutine && this.thingsOf(ender.goroutine).includes(thing - this.goroutines);
    });
    return partner === undefined ? nodes : [goroutine, thing, partner.goroutine, thing];
  }

  /** `nodes`: a goroutine, what it waits on, the goroutine that has to end that, and so on. */
  #cycleOf(nodes: readonly number[]): Cycle {
    const goroutines = nodes.filter((_, i) => i % 2 === 0);
    const things = nodes.filter((_, i) => i % 2 === 1).map((node) => node - this.goroutines);
    const ranks = things.map((thing, i) => {
      const next = goroutines[(i + 1) % goroutines.length];
      const edge = this.endersOf(thing).find(({ goroutine }) => goroutine === next);
      return STRENGTHS.indexOf(edge?.strength ?? 'candidate');
    });
    return { goroutines, things, strength: STRENGTHS[Math.max(...ranks)] ?? 'candidate' };
  }
}

/** An edge as a number. */
function pair(from: number, to: number): number {
  return from * 2 ** 26 + to;
}

/** The nodes of a shortest cycle through `start`, which comes first; null if there is none. */
function cycleThrough(
  { starts, targets }: Successors,
  start: number,
  follows: (from: number, to: number) => boolean,
): number[] | null {
  const before = new Map<number, number>();
  const queue = [start];
  for (let i = 0; i < queue.length; i++) {
    const v = queue[i] ?? start;
    for (const w of targets.subarray(starts[v], starts[v + 1])) {
      if (!follows(v, w)) continue;
      if (w === start) {
        const cycle = [v];
        for (let at = before.get(v); at !== undefined; at = before.get(at)) cycle.push(at);
        return cycle.reverse();
      }
      if (before.has(w)) continue;
      before.set(w, v);
      queue.push(w);
    }
  }
  return null;
}
