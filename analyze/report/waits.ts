import { hex } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { isBlocked } from '../runtime/wait-records.js';
import type { Strength, WaitsOn } from '../waits/model.js';
import type { Cycle, Ender, Root } from '../waits/wait-graph.js';
import { goroutineOf, indexOf, thingAt, type Waits } from '../waits/program-waits.js';
import { findWaits } from '../waits/waits.js';
import { answer, type Answer } from './answer.js';
import { Describer } from './goroutines.js';
import { enderListText, evidenceText, MAX_ENDERS } from './ender-texts.js';
import { CODE_READS } from './ender-reads.js';
import { LeakRoots } from './leak-roots.js';
import { STACK_READS } from './locations.js';
import { listThings, waitersOf, waitingFunctions, withoutAddress, type ListedThings } from './listed-waits.js';
import { LongList } from './long-list.js';
import type {
  ChainStep,
  OwnEnds,
  WaitCycle,
  WaitEdge,
  WaitedThing,
  WaitingGoroutine,
  WaitQuery,
  WaitReport,
  WaitRoot,
  WaitStep,
} from './wait-documents.js';
import { describeWait } from './waiting.js';
import { WaitingFunctions } from './waiting-functions.js';
import { WaitPeers } from './wait-peers.js';
import { enderText, nobodyText, orderOf, thingText, waitText } from './wait-texts.js';

export const waitsAnalysis: Analysis = {
  name: 'waits',
  reads: [STACK_READS, CODE_READS],
  answer: (program) => reportWaits(program),
};

/** Who waits for whom in one program. */
export function reportWaits(program: GoProgram, { goid }: WaitQuery = {}): Answer<WaitReport> {
  return answer(program, new WaitReporter(findWaits(program)).report(goid));
}

/** Chains in which fewer goroutines wait say nothing that the list of what is waited on does not. */
const LONG_CHAIN = 2;
/** Goroutines named in one sentence. */
const MAX_NAMED = 3;
/** Goroutines that are asked since when they wait, or where. */
const MAX_ASKED = 64;
/** Goroutines named of those that wait alike. */
const MAX_ALIKE = 5;

/** Puts what was found into words. */
export class WaitReporter {
  readonly #waits: Waits;
  readonly #describer: Describer;
  readonly #funcs: WaitingFunctions;
  readonly #peers: WaitPeers;
  readonly cycles: readonly Cycle[];
  readonly roots: readonly Root[];

  constructor(waits: Waits) {
    this.#waits = waits;
    this.#describer = new Describer(waits.program);
    this.#funcs = new WaitingFunctions(waits, this.#describer);
    this.#peers = new WaitPeers(waits.program);
    this.cycles = waits.graph.cycles();
    this.roots = waits.graph.roots(this.cycles);
  }

  /** `goid` limits it to one goroutine and the chain of those that it waits for. */
  report(goid?: number): WaitReport {
    const chain = goid === undefined ? [] : this.#chainOf(goid);
    const followed = goid === undefined ? null : new Set(chain.map((step) => step.goid));
    const isAsked = (one: number): boolean => followed === null || followed.has(one);
    const things = followed === null ? listThings(this.#waits, this.cycles, (index) => this.funcOf(index)) : [];
    const roots = this.roots.filter(
      (root) => this.#isListed(root) && (followed === null || followed.has(this.#goidOf(root))),
    );
    const chains = roots.filter(({ kind, waiters }) => kind !== 'thing' && waiters >= LONG_CHAIN);
    const worded = (some: readonly Root[]): LongList<WaitRoot> =>
      this.#listOf(some, (root) => this.#rootDocument(root));
    return {
      goroutines: { [Symbol.iterator]: () => this.#goroutines(isAsked) },
      edges: { [Symbol.iterator]: () => this.#edges(isAsked) },
      cycles: this.cycles.map((cycle, i) => this.#cycleDocument(cycle, i)).filter(({ goids }) => goids.some(isAsked)),
      roots: worded(roots),
      chains: worded(chains),
      things: this.#listOf(things, (group) => this.#thingDocument(group)),
      chain,
      ends: this.#ends(),
    };
  }

  #listOf<T, U>(items: readonly T[], worded: (item: T) => U): LongList<U> {
    return new LongList(items.length, function* () {
      for (const item of items) yield worded(item);
    });
  }

  /** Whether a root is worth naming: a receiver that is idle waits for nobody in particular. */
  #isListed(root: Root): boolean {
    return root.kind !== 'thing' || orderOf(thingAt(this.#waits, root.thing), root.waiters) !== null;
  }

  /** The goroutine that a root is, or the first of its cycle; 0 if it is none. */
  #goidOf(root: Root): number {
    if (root.kind === 'thing') return 0;
    return this.#goid(root.kind === 'goroutine' ? root.goroutine : (this.cycles[root.cycle]?.goroutines[0] ?? 0));
  }

  /** The first deadlocks that lead over a lock. */
  lockCycles(limit: number): WaitCycle[] {
    const overLocks = [...this.cycles.entries()].filter(([, { things }]) =>
      things.some((thing) => this.#isLock(thing)),
    );
    return overLocks.slice(0, limit).map(([i, cycle]) => this.#cycleDocument(cycle, i));
  }

  /** The locks that at least `waiters` goroutines wait for, the first ones. */
  locks(waiters: number, limit: number): WaitedThing[] {
    const counts = this.#waits.graph.waiterCounts();
    const many = [...this.#waits.things.keys()].filter(
      (thing) => this.#isLock(thing) && (counts[thing] ?? 0) >= waiters,
    );
    return many
      .sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0))
      .slice(0, limit)
      .map((thing) => this.#thingDocument({ things: [thing], areAlike: false }));
  }

  #isLock(thing: number): boolean {
    return ['mutex', 'rwmutex', 'once'].includes(thingAt(this.#waits, thing).kind);
  }

  /** What to say where nobody is known who would end the waits on a thing; null where that is nothing to wonder at. */
  #nobodyText(thing: number): string | null {
    const { lacksCode, referring } = this.#waits;
    const by = referring.get(thing);
    const may = by === undefined ? null : `one in ${this.funcOf(by)} refers to it, and may`;
    return nobodyText(thingAt(this.#waits, thing), lacksCode ? 'the target lacks the code that would tell' : may);
  }

  get #runtime(): number {
    return this.#waits.program.runtime.n;
  }

  *#goroutines(isAsked: (goid: number) => boolean): Iterator<WaitingGoroutine> {
    const { graph, goids, program } = this.#waits;
    const { byGoid, waitreason } = program.goroutineColumns;
    for (let index = 0; index < goids.length; index++) {
      const on = graph.thingsOf(index);
      if (on.length === 0 || !isAsked(goids[index] ?? 0)) continue;
      const waitReason = program.waitReasons.at(waitreason[byGoid[index] ?? 0] ?? 0);
      const documents = Array.from(on, (thing) => describeWait(thingAt(this.#waits, thing)));
      yield { goid: goids[index] ?? 0, runtime: this.#runtime, waitReason, on: documents };
    }
  }

  *#edges(isAsked: (goid: number) => boolean): Iterator<WaitEdge> {
    const { graph, goids, things } = this.#waits;
    for (let index = 0; index < goids.length; index++) {
      if (!isAsked(goids[index] ?? 0)) continue;
      const all = Array.from(graph.thingsOf(index)).flatMap((thing) =>
        graph
          .endersOf(thing)
          .slice(0, MAX_ENDERS)
          .map((ender) => ({ addr: things[thing]?.addr ?? null, ...ender })),
      );
      if (all.length > 1) all.sort((a, b) => rankOf(a.strength) - rankOf(b.strength));
      for (const { addr, goroutine, strength, evidence } of all) {
        const [from, to] = [goids[index] ?? 0, goids[goroutine] ?? 0];
        yield { from, to, runtime: this.#runtime, addr: addr === null ? null : hex(addr), strength, evidence };
      }
    }
  }

  /** A cycle in words; `i` is its place among {@link cycles}. */
  #cycleDocument({ goroutines, things, strength }: Cycle, i: number): WaitCycle {
    const steps = goroutines.map((index, at): WaitStep => {
      const next = goroutines[(at + 1) % goroutines.length] ?? index;
      return { goid: this.#goid(index), func: this.funcOf(index), message: this.#stepText(things[at] ?? 0, next) };
    });
    const behind = this.roots.find((root) => root.kind === 'cycle' && root.cycle === i);
    return {
      runtime: this.#runtime,
      goids: goroutines.map((index) => this.#goid(index)),
      strength,
      message: steps.map(({ goid, func, message }) => `${goid} in ${func} ${message}`).join('; '),
      steps,
      waiters: behind?.waiters ?? 0,
      waitSinceNs: this.#waitSince(goroutines),
    };
  }

  /** `waits for Mutex 0xc000123450 (locked, 3 waiters), held by 91: Unlock deferred in db.(*Pool).put`. */
  #stepText(thing: number, by: number): string {
    const { graph } = this.#waits;
    const on = thingAt(this.#waits, thing);
    const ender = graph.endersOf(thing).find(({ goroutine }) => goroutine === by);
    if (ender === undefined) return waitText(on);
    return `${waitText(on)}, ${enderText(on, ender.strength, graph.needsOf(thing))} ${this.#goid(by)}: ${evidenceText(ender.evidence)}`;
  }

  #rootDocument(root: Root): WaitRoot {
    const { waiters } = root;
    const those = `${goroutines(waiters)} ${waiters === 1 ? 'waits' : 'wait'}, directly or not,`;
    const common = { runtime: this.#runtime, waiters };
    switch (root.kind) {
      case 'goroutine': {
        const goid = this.#goid(root.goroutine);
        const message = `${those} on ${goid} in ${this.funcOf(root.goroutine)}, which ${this.#doing(root.goroutine)}`;
        return { goid, ...common, message };
      }
      case 'thing': {
        const on = thingAt(this.#waits, root.thing);
        const why = this.#nobodyText(root.thing);
        return {
          on: describeWait(on),
          ...common,
          message: `${those} on ${thingText(on)}${why === null ? '' : `: ${why}`}`,
        };
      }
      case 'cycle': {
        const members = this.cycles[root.cycle]?.goroutines ?? [];
        const goid = this.#goid(members[0] ?? 0);
        const named = members.slice(0, MAX_NAMED).map((index) => this.#goid(index));
        const more = members.length > MAX_NAMED ? ' and others' : '';
        return { goid, ...common, message: `${those} on the deadlock of ${named.join(', ')}${more}` };
      }
    }
  }

  /** What a goroutine does at which a chain ends: `waits to read descriptor (fd 7)`, `is running`. */
  #doing(index: number): string {
    const on = this.#first(index);
    const g = this.#goroutine(index);
    if (on !== undefined) return this.#peers.textOf(g, on);
    if (g === null) return 'cannot be read';
    if (!isBlocked(g)) return g.status === 'syscall' ? 'is in a system call' : `is ${g.status}`;
    return `waits: ${this.#waits.program.waitReasons.at(g.waitreason) ?? '?'}`;
  }

  /** What a goroutine waits on that ends first: of timers, the next one; undefined if it waits on nothing that is known. */
  #first(index: number): WaitsOn | undefined {
    const { graph } = this.#waits;
    const all = Array.from(graph.thingsOf(index), (thing) => thingAt(this.#waits, thing));
    const timers = all.filter(({ dueNs }) => typeof dueNs === 'number');
    return timers.length === 0 ? all[0] : timers.reduce((a, b) => ((b.dueNs ?? 0) < (a.dueNs ?? 0) ? b : a));
  }

  #thingDocument({ things, areAlike }: ListedThings): WaitedThing {
    const [thing = 0] = things;
    const on = thingAt(this.#waits, thing);
    const told = areAlike ? this.#alikeTold(things, on) : this.#groupTold(things, on);
    return { runtime: this.#runtime, on: describeWait(on), ...told };
  }

  /** Of things that are alike: `19 goroutines in main.query.func1 wait to send on chan int (unbuffered), each on its own, ...`. */
  #alikeTold(things: readonly number[], on: WaitsOn): Omit<WaitedThing, 'runtime' | 'on'> {
    const { graph } = this.#waits;
    const functions = waitingFunctions(this.#waits, things[0] ?? 0, (index) => this.funcOf(index));
    const goids = Array.from(waitersOf(this.#waits, things), (index) => this.#goid(index));
    const waiters = goids.length;
    const named = goids.sort((a, b) => a - b).slice(0, MAX_ALIKE);
    const where = functions.length === 1 ? 'each on its own' : `on ${things.length} of them`;
    const enders = graph.endersOf(things[0] ?? 0);
    const ends = this.endersText(things[0] ?? 0, enders);
    const nobody = enders.length === 0 ? `, ${ends}` : '';
    const [first = 0] = Array.from(graph.waitersOf(things[0] ?? 0, 1), (index) => this.#goid(index));
    const example = enders.length === 0 ? '' : `; ${first} ${ends}`;
    return {
      waiters,
      holders: [],
      message:
        `${goroutines(waiters)} in ${[...new Set(functions)].join(' and ')} ` +
        `${withoutAddress(waitText(on), on).replace(/^waits/, 'wait')}, ${where}${nobody}: ` +
        `${named.join(', ')}${waiters > named.length ? ', ...' : ''}${example}`,
    };
  }

  /** Of things that are one to a reader, worded as their first one. */
  #groupTold(group: readonly number[], on: WaitsOn): Omit<WaitedThing, 'runtime' | 'on'> {
    const { graph } = this.#waits;
    const [thing = 0, ...others] = group;
    const inSelect = others.reduce((sum, other) => sum + graph.waitersOf(other, Infinity).length, 0);
    const waiters = graph.waitersOf(thing, Infinity).length + inSelect;
    const enders = group.map((one) => graph.endersOf(one)).find((found) => found.length > 0) ?? [];
    const [first = 0] = graph.waitersOf(thing, 1);
    const wait =
      waiters === 1
        ? `${this.#goid(first)} in ${this.funcOf(first)} ${waitText(on)}`
        : `${goroutines(waiters)}${enders.length > 0 ? '' : this.#inFunctions(group)} ${waitText(on).replace(/^waits/, 'wait')}`;
    const partly = inSelect === 0 ? '' : `, ${inSelect} of them in a select`;
    return {
      waiters,
      holders: enders.slice(0, MAX_ENDERS).map(({ goroutine }) => this.#goid(goroutine)),
      message: `${wait}${partly}, ${this.endersText(thing, enders)}`,
    };
  }

  /** ` in main.query`, ` in main.query and others`: where those wait that wait on some things, by the first ones. */
  #inFunctions(things: readonly number[]): string {
    const some = [...waitersOf(this.#waits, things)].slice(0, MAX_ASKED);
    const [first, ...others] = new Set(some.map((index) => this.funcOf(index)));
    return first === undefined ? '' : ` in ${first}${others.length === 0 ? '' : ' and others'}`;
  }

  /** Who has to end the waits on a thing, with why that is thought; or why nobody is named. */
  endersText(thing: number, enders: readonly Ender[]): string {
    if (enders.length === 0) return this.#nobodyText(thing) ?? 'nobody found that would end it';
    return enderListText(thingAt(this.#waits, thing), this.#waits.graph.needsOf(thing), enders, {
      goidOf: (index) => this.#goid(index),
      funcOf: (index) => this.funcOf(index),
    });
  }

  #ends(): OwnEnds {
    const { graph, things } = this.#waits;
    const counts = graph.waiterCounts();
    let [io, timers] = [0, 0];
    let nextDueNs: number | null = null;
    things.forEach(({ kind, dueNs }, thing) => {
      const count = counts[thing] ?? 0;
      if (kind === 'fd') io += count;
      if (kind !== 'sleep' && kind !== 'timer') return;
      timers += count;
      if (typeof dueNs === 'number') nextDueNs = Math.min(nextDueNs ?? Infinity, dueNs);
    });
    return { io, timers, nextDueNs };
  }

  /** What `goid` waits on, whom that waits for, and so on to the end of the chain; empty if there is no such goroutine. */
  #chainOf(goid: number): ChainStep[] {
    const { graph, things } = this.#waits;
    const start = indexOf(this.#waits, goid);
    if (start < 0) return [];
    const steps: ChainStep[] = [];
    const roots = new LeakRoots(this.#waits.program);
    const seen = new Set<number>();
    for (let at: number | null = start; at !== null && !seen.has(at);) {
      seen.add(at);
      const best = graph.bestOf(at);
      const on = best === null ? undefined : things[best.thing];
      const next: number | null = best?.ender?.goroutine ?? null;
      const nobody = best === null ? null : this.#nobodyText(best.thing);
      const g = this.#goroutine(at);
      const message =
        best === null || on === undefined
          ? this.#doing(at)
          : next !== null
            ? this.#stepText(best.thing, next)
            : `${this.#peers.textOf(g, on)}${nobody === null ? '' : `: ${nobody}`}`;
      const leak = g === null ? null : (roots.of(g)?.evidence ?? null);
      steps.push({ goid: this.#goid(at), func: this.funcOf(at), message, leak });
      at = next;
    }
    return steps;
  }

  /** As {@link WaitingFunctions.of}. */
  funcOf(index: number): string {
    return this.#funcs.of(index);
  }

  #waitSince(members: readonly number[]): number | null {
    const since = members.slice(0, MAX_ASKED).map((index) => {
      const g = this.#goroutine(index);
      return g === null ? null : this.#describer.describe(g).waitSinceNs;
    });
    return since.reduce<number | null>((least, ns) => (ns === null ? least : Math.min(least ?? ns, ns)), null);
  }

  #goroutine(index: number): G | null {
    return onFault(
      () => goroutineOf(this.#waits, index),
      () => null,
    );
  }

  #goid(index: number): number {
    return this.#waits.goids[index] ?? 0;
  }
}

const STRENGTH_ORDER: Readonly<Record<Strength, number>> = { exact: 0, strong: 1, probable: 2, candidate: 3 };

function rankOf(strength: Strength): number {
  return STRENGTH_ORDER[strength];
}

function goroutines(n: number): string {
  return `${String(n).replace(/\B(?=(\d{3})+$)/g, ',')} goroutine${n === 1 ? '' : 's'}`;
}
