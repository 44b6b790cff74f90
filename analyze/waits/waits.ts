import type { Addr } from '../../snapshots/address.js';
import type { GoProgram } from '../program.js';
import { AddressTable, NONE } from './address-table.js';
import { CandidateSearch } from './candidates.js';
import { findHolders } from './holders.js';
import type { Holder, WaitsOn, WantedLock } from './model.js';
import { WaitGraph, type Ender, type Needs } from './wait-graph.js';
import { OwnLockSearch } from './own-locks.js';
import { goroutinesByStack, indexOf, lacksCode, NO_GOROUTINE, type Waits } from './program-waits.js';
import { WaitsOnReader } from './waits-on.js';

/** Finds what the goroutines of a program wait on, and who may end it. */
export function findWaits(program: GoProgram): Waits {
  return new WaitsBuilder(program).build();
}

class WaitsBuilder {
  readonly #waits: Waits;
  readonly #graph: WaitGraph;
  readonly #things: WaitsOn[] = [];
  readonly #candidates: CandidateSearch;
  readonly #ownLocks: OwnLockSearch;
  /** By address, the thing there that came last; by thing, the one before it at its address, or {@link NONE}. */
  readonly #lastAt = new AddressTable();
  readonly #before: number[] = [];
  /** By what {@link descriptorKey} returns, the goroutine in IO wait there. */
  readonly #inIo = new Map<string, number>();

  constructor(program: GoProgram) {
    const { byGoid, goid } = program.goroutineColumns;
    const goids = Float64Array.from(byGoid, (row) => goid[row] ?? 0);
    this.#graph = new WaitGraph(goids.length);
    const found = { things: this.#things, referring: new Map<number, number>(), lacksCode: lacksCode(program) };
    this.#waits = { program, graph: this.#graph, goids, ...found };
    this.#candidates = new CandidateSearch(this.#waits);
    this.#ownLocks = new OwnLockSearch(this.#waits);
  }

  build(): Waits {
    this.#addWaits();
    this.#addHolders(this.#waitersOfLocks());
    this.#addFdHolders();
    this.#ownLocks.addHolders();
    this.#candidates.add();
    return this.#waits;
  }

  #addWaits(): void {
    const reader = new WaitsOnReader(this.#waits.program);
    for (const { g, index } of goroutinesByStack(this.#waits)) {
      for (const on of reader.of(g)) {
        const thing = this.#thingOf(on);
        this.#graph.addWait(index, thing);
        this.#candidates.noteWait(g, thing);
        this.#ownLocks.noteWait(g, thing);
        if (on.kind === 'fd' && on.fd !== undefined) this.#inIo.set(descriptorKey(on), index);
      }
    }
  }

  #thingOf(on: WaitsOn): number {
    for (const thing of this.#thingsAt(on.addr)) if (isSame(this.#things[thing], on)) return thing;
    const thing = this.#graph.addThing(needsOf(on));
    this.#things.push(on);
    this.#before.push(on.addr === null ? NONE : this.#lastAt.get(on.addr));
    if (on.addr !== null) this.#lastAt.set(on.addr, thing);
    return thing;
  }

  /** The things at an address: of an RWMutex and a channel one for each way to wait for it. */
  *#thingsAt(addr: Addr | null): Iterable<number> {
    for (let at = addr === null ? NONE : this.#lastAt.get(addr); at !== NONE; at = this.#before[at] ?? NONE) yield at;
  }

  /** By thing, the addresses of the gs that wait for a lock. */
  #waitersOfLocks(): Map<number, Set<Addr>> {
    const { addr, byGoid } = this.#waits.program.goroutineColumns;
    const out = new Map<number, Set<Addr>>();
    this.#things.forEach(({ kind }, thing) => {
      if (kind === 'mutex' || kind === 'rwmutex' || kind === 'once') out.set(thing, new Set());
    });
    if (out.size === 0) return out;
    for (let index = 0; index < this.#waits.goids.length; index++) {
      for (const thing of this.#graph.thingsOf(index)) out.get(thing)?.add((addr[byGoid[index] ?? 0] ?? 0) as Addr);
    }
    return out;
  }

  #addHolders(waiters: ReadonlyMap<number, ReadonlySet<Addr>>): void {
    /** By address and by how it is held: an RWMutex is asked for once, whichever way goroutines wait for it. */
    const wanted = new Map<
      string,
      { readonly lock: WantedLock & { readonly waiters: Set<Addr> }; readonly things: number[] }
    >();
    for (const [thing, gs] of waiters) {
      const on = this.#things[thing];
      if (on === undefined || on.addr === null || this.#graph.needsOf(thing) === 'itself') continue;
      const writer = this.#pendingWriter(on);
      if (writer !== null) {
        this.#graph.setEnders([thing], 'any', [writer]);
        continue;
      }
      const { kind, addr, state } = on;
      if (kind !== 'mutex' && kind !== 'rwmutex' && kind !== 'once') continue;
      const held = kind === 'rwmutex' && (state?.readers ?? 0) > 0 ? 'read' : 'write';
      const known = wanted.get(`${addr} ${held}`);
      if (known === undefined)
        wanted.set(`${addr} ${held}`, { lock: { addr, kind, held, waiters: new Set(gs) }, things: [thing] });
      else {
        for (const g of gs) known.lock.waiters.add(g);
        known.things.push(thing);
      }
    }
    if (wanted.size === 0) return;
    const holders = findHolders(
      this.#waits.program,
      [...wanted.values()].map(({ lock }) => lock),
    );
    for (const { lock, things } of wanted.values()) {
      const enders = (holders.get(lock) ?? []).flatMap((holder) => this.#enderOf(holder));
      this.#graph.setEnders(things, lock.held === 'read' ? 'all' : 'holder', enders);
    }
  }

  #enderOf({ goid, strength, evidence }: Holder): Ender[] {
    const goroutine = indexOf(this.#waits, goid);
    return goroutine === NO_GOROUTINE ? [] : [{ goroutine, strength, evidence }];
  }

  /** Who keeps new readers from an RWMutex that others hold for reading: the writer that waits for those (RLock in rwmutex.go). */
  #pendingWriter({ kind, addr, op, state }: WaitsOn): Ender | null {
    if (kind !== 'rwmutex' || op !== 'rlock' || addr === null || (state?.readers ?? 0) === 0) return null;
    const asWriter = [...this.#thingsAt(addr)].find((thing) => this.#things[thing]?.op === 'lock');
    const [goroutine] = asWriter === undefined ? [] : this.#graph.waitersOf(asWriter, 1);
    if (goroutine === undefined) return null;
    const message = 'it waits to lock, and readers that come later wait behind it';
    return { goroutine, strength: 'exact', evidence: [{ code: 'writer-pending', message }] };
  }

  /** Who reads or writes a descriptor, while others wait to do the same. */
  #addFdHolders(): void {
    this.#things.forEach((on, thing) => {
      if (on.kind !== 'fdmutex' || on.fd === undefined) return;
      const goroutine = this.#inIo.get(descriptorKey(on));
      if (goroutine === undefined) return;
      const message = `it waits for IO on the same descriptor, to ${on.op ?? 'use'} it`;
      const evidence = [{ code: 'io-wait', message }];
      this.#graph.setEnders([thing], 'holder', [{ goroutine, strength: 'exact', evidence }]);
    });
  }
}

/** True if two goroutines wait on the same, in the same way. */
function isSame(known: WaitsOn | undefined, on: WaitsOn): boolean {
  return known !== undefined && known.kind === on.kind && known.op === on.op;
}

function needsOf({ kind, state, counter, closed, dueNs }: WaitsOn): Needs {
  switch (kind) {
    case 'mutex':
    case 'once':
    case 'rwmutex':
      return state !== undefined && !state.locked && state.readers === 0 ? 'itself' : 'holder';
    case 'fdmutex':
      return 'holder';
    case 'waitgroup':
      return counter === 0 ? 'itself' : 'all';
    case 'chan':
    case 'select':
    case 'cond':
    case 'semaphore':
    case 'nilchan':
      return closed === true || typeof dueNs === 'number' ? 'itself' : 'any';
    case 'sleep':
    case 'timer':
    case 'fd':
      return 'itself';
  }
}

function descriptorKey({ fd, op }: WaitsOn): string {
  return `${fd ?? ''} ${op ?? ''}`;
}
