import { plus, type Addr } from '../../snapshots/address.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { CodeIndex } from '../stacks/code-index.js';
import { mayPoint } from '../runtime/wait-records.js';
import { CPUS } from './cpus.js';
import { readWord } from './frame-values.js';
import { findHolders } from './holders.js';
import { LockCode } from './lock-code.js';
import type { LockCall, LockMethods, Mode } from './lock-functions.js';
import type { Holder, WantedLock } from './model.js';
import { indexOf, NO_GOROUTINE, type Waits } from './program-waits.js';
import { COND_WAIT } from './sync-frames.js';
import type { Ender } from './wait-graph.js';

/** A method of a type that has the methods of a lock; without those of package sync. */
const METHOD = /^(?!(?:internal\/)?sync\.|runtime\.)(.+\.\(\*([^()]+)\))\.(?:(Try)?(R?)Lock|(R?)Unlock)$/;
/** Frames between a goroutine's innermost one and the method that called sync.Cond.Wait. */
const WAIT_DEPTH = 16;
/** Frames of a stack that is looked at quickly. */
const MAX_DEPTH = 256;
/** Bytes of a lock in which its Cond, or a pointer to that, is looked for. */
const MAX_LOCK = 256;
/** Bytes from the stack pointer at a function's entry to its first argument, or to where the function keeps it that got it in a register. */
const FIRST_ARGUMENT = 8;

interface Method {
  /** The part of its name that all methods of the type have. */
  readonly methodsOf: string;
  readonly type: string;
  readonly call: LockCall;
}

function methodOf(name: string): Method | null {
  const match = METHOD.exec(name);
  if (match === null) return null;
  const [, methodsOf = '', type = '', tries, locksReader, unlocksReader] = match;
  const mode: Mode = (locksReader ?? unlocksReader) === 'R' ? 'read' : 'write';
  const does = locksReader === undefined ? 'release' : tries === undefined ? 'acquire' : 'try';
  return { methodsOf, type, call: { does, mode, atomicOffset: null, receiverOffset: 0 } };
}

/** The methods of locks of a program's own: of some types, named by what the names of their methods begin with, or of all. */
function ownMethods(types: ReadonlySet<string> | null): LockMethods {
  const known = new Map<string, LockCall | null>();
  const callOf = (name: string): LockCall | null => {
    let call = known.get(name);
    if (call === undefined) {
      const method = methodOf(name);
      call = method === null || types?.has(method.methodsOf) === false ? null : method.call;
      known.set(name, call);
    }
    return call;
  };
  return { callOf, slowPathOf: () => null, isOfLocks: (name) => callOf(name) !== null, areInlined: false };
}

/** What code does with locks of any type of the program's own: what is read of it when the locks of some are looked for. */
export class OwnLockCode extends LockCode {
  constructor(code: CodeIndex) {
    super(code, ownMethods(null));
  }
}

/** A lock of the program's own for which goroutines wait. */
interface OwnLock {
  readonly addr: Addr;
  readonly methodsOf: string;
  readonly type: string;
  readonly waiters: Set<Addr>;
}

/** What waits on a Cond are for, as far as all agree. */
interface CondUse {
  readonly lock: OwnLock;
  /** Whom they wait for: a reader for a writer only. */
  readonly modes: Set<Mode>;
}

/**
 * Finds who holds locks of a program's own that are made with sync.Cond, such as closingMutex in database/sql since Go 1.27: types
 * whose methods Lock and RLock wait for a Cond of their receiver. That the others release what these acquire, only their names
 * say.
 */
export class OwnLockSearch {
  readonly #waits: Waits;
  readonly #locks = new Map<string, OwnLock>();
  /** By thing; null for a Cond on which others wait as well. */
  readonly #uses = new Map<number, CondUse | null>();
  readonly #pcs = new Float64Array(MAX_DEPTH);
  /** By code address, whether it is in such a method. */
  readonly #inMethod = new Map<number, boolean>();

  constructor(waits: Waits) {
    this.#waits = waits;
  }

  /** Notes that a goroutine waits on a thing. */
  noteWait(g: G, thing: number): void {
    const on = this.#waits.things[thing];
    if (on?.kind !== 'cond' || on.addr === null || this.#uses.get(thing) === null) return;
    const found = this.#lockOf(g, on.addr);
    const use = this.#uses.get(thing);
    if (found === null || (use != null && use.lock !== found.lock)) {
      this.#uses.set(thing, null);
      return;
    }
    const { lock, mode } = found;
    lock.waiters.add(g.addr);
    const modes = use?.modes ?? new Set<Mode>();
    modes.add('write');
    if (mode === 'write') modes.add('read');
    this.#uses.set(thing, { lock, modes });
  }

  /** Adds the holders to the graph, once all waits are noted. */
  addHolders(): void {
    const uses = [...this.#uses].flatMap(([thing, use]) => (use === null ? [] : [{ thing, ...use }]));
    if (uses.length === 0) return;
    const { program, graph } = this.#waits;
    const wanted = new Map<string, WantedLock>();
    for (const { lock, modes } of uses) {
      for (const held of modes) wanted.set(`${lock.addr} ${held}`, { ...lock, kind: 'own', held });
    }
    const types = new Set(uses.map(({ lock }) => lock.methodsOf));
    const holders = findHolders(program, [...wanted.values()], new LockCode(program.index, ownMethods(types)));
    for (const { thing, lock, modes } of uses) {
      const found = [...modes].map((mode) => {
        const asked = wanted.get(`${lock.addr} ${mode}`);
        return asked === undefined ? [] : (holders.get(asked) ?? []);
      });
      const enders = agreed(found).flatMap((holder) => this.#enderOf(holder));
      if (enders.length > 0) graph.setEnders([thing], 'holder', enders);
    }
  }

  #enderOf({ goid, strength, evidence }: Holder): Ender[] {
    const goroutine = indexOf(this.#waits, goid);
    return goroutine === NO_GOROUTINE ? [] : [{ goroutine, strength, evidence }];
  }

  /** The lock whose method waits for a Cond. */
  #lockOf(g: G, cond: Addr): { readonly lock: OwnLock; readonly mode: Mode } | null {
    const { program } = this.#waits;
    if (!this.#mayBeInMethod(g)) return null;
    const { frames } = program.stackOf(g, WAIT_DEPTH);
    const frame = frames[frames.findIndex(({ point }) => point.func.name === COND_WAIT) + 1];
    const method = frame === undefined ? null : methodOf(frame.point.func.name);
    if (frame === undefined || method?.call.does !== 'acquire') return null;
    const addr = readWord(program.memory, frame.fp - CPUS[program.image.arch].pushed + FIRST_ARGUMENT);
    if (addr === null || !mayPoint(addr) || !mayHave(program, addr, cond)) return null;
    const key = `${method.methodsOf} ${addr}`;
    let lock = this.#locks.get(key);
    if (lock === undefined) {
      lock = { addr, methodsOf: method.methodsOf, type: method.type, waiters: new Set() };
      this.#locks.set(key, lock);
    }
    return { lock, mode: method.call.mode };
  }

  /** Quick, since most goroutines that wait for a Cond do so elsewhere. */
  #mayBeInMethod(g: G): boolean {
    const { program } = this.#waits;
    const count = program.pcsOfWhole(g, this.#pcs);
    if (count === 0) return true;
    return this.#pcs.subarray(0, Math.min(count, WAIT_DEPTH)).some((pc) => {
      let known = this.#inMethod.get(pc);
      if (known === undefined) {
        known = methodOf(program.index.at(pc)?.func.name ?? '') !== null;
        this.#inMethod.set(pc, known);
      }
      return known;
    });
  }
}

/** Whether a Cond is part of the lock at an address, or the lock points to it, as far as the lock is known. */
function mayHave({ memory }: GoProgram, lock: Addr, cond: Addr): boolean {
  if (cond >= lock && cond < lock + MAX_LOCK) return true;
  for (let at = 0; at < MAX_LOCK; at += 8) {
    const field = plus(lock, at);
    if (!memory.has(field, 8) || memory.wordOr0(field) === cond) return true;
  }
  return false;
}

/** Those of all modes. Where a writer and readers seem to hold a lock, none of them probably does. */
function agreed(byMode: readonly (readonly Holder[])[]): Holder[] {
  const isDisputed = byMode.filter((holders) => holders.some(({ strength }) => strength === 'probable')).length > 1;
  const byGoid = new Map<number, Holder>();
  for (const holder of byMode.flat()) {
    const known = byGoid.get(holder.goid);
    if (known === undefined || (known.strength === 'candidate' && holder.strength === 'probable'))
      byGoid.set(holder.goid, isDisputed ? { ...holder, strength: 'candidate' } : holder);
  }
  return [...byGoid.values()];
}
