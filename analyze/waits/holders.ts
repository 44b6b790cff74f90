import { plus, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { COND_NOTIFY, COND_REASON, WaitReader } from '../runtime/wait-records.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { KnownStack } from '../stack-ids.js';
import { DeferredCalls, type DeferredCall } from './deferred-calls.js';
import { HeldLocks, type Claim, type WantedAddresses } from './held-locks.js';
import { SyncLockCode, type LockCode } from './lock-code.js';
import type { Mode } from './lock-functions.js';
import { MapLookup } from './map-lookup.js';
import { isSure, type Evidence, type Holder, type Strength, type WantedLock } from './model.js';
import { COND_WAIT } from './sync-frames.js';
import { MUTEX, MUTEX_LOCKED, RW_MUTEX } from './sync-types.js';

const PANIC = 'runtime.gopanic';
/** The data word of the interface sync.Cond.L, which is the first field. */
const COND_LOCKER = 8;
const MAX_PCS = 4096;
const NO_CLAIMS: readonly Claim[] = [];

/** Strongest first. */
const STRENGTHS: readonly Strength[] = ['exact', 'strong', 'probable', 'candidate'];

/**
 * Finds who holds each of some locks, the likeliest first, in one pass over the stacks of all goroutines; nobody where no
 * goroutine shows that it holds one. What tells is the machine code of the functions on the stacks, the words of their frames, and
 * the calls that they have deferred. `code` says what is a method of such a lock.
 */
export function findHolders(
  program: GoProgram,
  locks: readonly WantedLock[],
  code: LockCode = program.index.facts(SyncLockCode),
): ReadonlyMap<WantedLock, readonly Holder[]> {
  const wanted = new Wanted(program, locks);
  const found = new Map<WantedLock, Found[]>();
  if (wanted.all.length > 0) {
    const finder = new HolderFinder(program, wanted, code);
    for (const g of program.goroutines('stack')) {
      for (const claim of finder.claimsOf(g)) {
        for (const lock of wanted.at(claim.address, claim.mode)) {
          const holder = judge(g, claim, lock);
          if (holder === null) continue;
          const others = found.get(lock);
          if (others === undefined) found.set(lock, [holder]);
          else others.push(holder);
        }
      }
    }
  }
  return new Map(locks.map((lock) => [lock, ranked(lock, found.get(lock) ?? [])]));
}

interface Found extends Holder {
  readonly isWaiter: boolean;
  /** Of those that are probable, the likelier ones have more. */
  readonly weight: number;
}

/** The locks that are asked for, by the address of the Mutex or RWMutex; without those that nobody holds. */
class Wanted implements WantedAddresses {
  readonly all: readonly { readonly address: number; readonly mode: Mode }[];
  readonly #locks: Readonly<Record<Mode, Map<number, WantedLock[]>>> = { write: new Map(), read: new Map() };

  constructor(program: GoProgram, locks: readonly WantedLock[]) {
    const { onceMutex } = program.layouts.release;
    for (const lock of locks) {
      const address = plus(lock.addr, lock.kind === 'once' ? onceMutex : 0);
      if (lock.kind !== 'own' && !mayBeHeld(program, address, lock.held)) continue;
      const known = this.#locks[lock.held].get(address);
      if (known === undefined) this.#locks[lock.held].set(address, [lock]);
      else known.push(lock);
    }
    this.all = (['write', 'read'] as const).flatMap((mode) =>
      [...this.#locks[mode].keys()].map((address) => ({ address, mode })),
    );
  }

  has(address: number, mode: Mode): boolean {
    return this.#locks[mode].has(address);
  }

  at(address: number, mode: Mode): readonly WantedLock[] {
    return this.#locks[mode].get(address) ?? [];
  }
}

/** False where the words of the lock say that nobody holds it. */
function mayBeHeld({ memory }: GoProgram, address: Addr, mode: Mode): boolean {
  return onFault(
    () =>
      mode === 'read'
        ? memory.u32(address, RW_MUTEX.readerCount) !== 0
        : (memory.u32(address, MUTEX.state) & MUTEX_LOCKED) !== 0,
    () => true,
  );
}

/** Finds what goroutines hold, one after another. */
export class HolderFinder {
  readonly #program: GoProgram;
  readonly #wanted: WantedAddresses;
  readonly #code: LockCode;
  readonly #defers: DeferredCalls;
  readonly #maps: MapLookup;
  readonly #waits: WaitReader;
  readonly #torn: ReadonlySet<Addr>;
  readonly #pcs = new Float64Array(MAX_PCS);
  /** By pc, whether its code may hold locks. */
  readonly #concerned = new Map<number, boolean>();
  readonly #concernedStacks = new WeakMap<KnownStack, boolean>();

  constructor(program: GoProgram, wanted: WantedAddresses, code: LockCode = program.index.facts(SyncLockCode)) {
    this.#program = program;
    this.#wanted = wanted;
    this.#code = code;
    this.#defers = new DeferredCalls(program);
    this.#maps = new MapLookup(program);
    this.#waits = new WaitReader(program);
    this.#torn = new Set(program.image.capture.torn);
  }

  /** Nothing for a goroutine that moved while it was copied. With `stack`, which it has in common with others, it is quicker. */
  claimsOf(g: G, stack?: KnownStack): Iterable<Claim> {
    if (this.#torn.has(g.addr) || !this.#mayHold(g, stack)) return NO_CLAIMS;
    const { frames } = this.#program.stackOf(g);
    const held = new HeldLocks(this.#program, this.#code, this.#wanted, this.#maps);
    const records = this.#defers.recorded(g);
    for (const frame of [...frames].reverse()) {
      held.add(frame, [...records.filter(({ sp }) => sp === frame.sp), ...this.#codedIn(frame)]);
      if (frame.point.func.name === COND_WAIT) this.#giveBack(g, held);
      // What it calls are deferred calls of the functions around it, which may have released what those acquired.
      if (frame.point.func.name === PANIC) held.doubtPositions();
    }
    return held.claims;
  }

  /** Quick, since most goroutines stand where most others do. */
  #mayHold(g: G, stack?: KnownStack): boolean {
    if (this.#code.methods.areInlined && this.#defers.hasRecords(g.addr)) return true;
    if (stack !== undefined) return this.mayHoldIn(stack);
    const count = this.#program.pcsOfWhole(g, this.#pcs);
    if (count === 0) return true;
    for (let i = 0; i < count; i++) if (this.#isConcerned(this.#pcs[i] ?? 0)) return true;
    return false;
  }

  /** False where a goroutine with this stack holds nothing, unless it has deferred calls on its list. */
  mayHoldIn(stack: KnownStack): boolean {
    let known = this.#concernedStacks.get(stack);
    if (known === undefined) {
      const { frames, truncated } = stack;
      known = truncated !== null || frames.some(({ pc, trap }) => trap || this.#isConcerned(pc));
      this.#concernedStacks.set(stack, known);
    }
    return known;
  }

  #isConcerned(pc: number): boolean {
    let known = this.#concerned.get(pc);
    if (known === undefined) {
      const point = this.#program.index.at(pc);
      known = point !== null && this.#mayHoldAt(point, pc);
      this.#concerned.set(pc, known);
    }
    return known;
  }

  #mayHoldAt(point: CodePoint, pc: number): boolean {
    // Who neither calls such a method, nor a function that does, holds none.
    if (!this.#code.methods.areInlined) return this.#code.isConcerned(point);
    return this.#defers.hasCoded(point) || this.#mayClaim(point, pc);
  }

  /** False for a frame whose code neither holds a lock where it stands nor will release one. */
  #mayClaim(point: CodePoint, pc: number): boolean {
    const place = this.#code.at(point, false);
    if (place === null) return pc <= point.func.entry;
    const { locks, next, nextCalls } = place;
    return [...locks.held].length + [...locks.calls].length + next.length + nextCalls.length > 0;
  }

  #codedIn(frame: PhysicalFrame): DeferredCall[] {
    return onFault(
      () => this.#defers.coded(frame),
      () => [],
    );
  }

  /** A goroutine in sync.Cond.Wait has given back the lock of the Cond, or waits to get it again. */
  #giveBack(g: G, held: HeldLocks): void {
    const { memory, waitReasons } = this.#program;
    const sync = this.#waits.waitsFor(g)?.sync ?? 0;
    const isWaiting = waitReasons.at(g.waitreason) === COND_REASON;
    const lock = onFault(
      () => (isWaiting && sync !== 0 ? memory.ptr((sync - COND_NOTIFY) as Addr, COND_LOCKER) : sync - MUTEX.sema),
      () => 0,
    );
    held.drop(lock);
    held.doubtAll();
  }
}

/** How much a claim bears; null where it bears nothing. */
function judge({ goid, addr }: G, claim: Claim, { waiters, type }: WantedLock): Found | null {
  const { position, deferred, ahead } = claim;
  const isWaiter = waiters.has(addr);
  // One that waits for the lock holds it only if its code says so: it deferred the Unlock for when it will.
  if (isWaiter && position?.isCertain !== true) return null;
  const evidence: Evidence[] = [];
  const of = type === undefined ? '' : ` of ${type}`;
  const [unlock, lock] = claim.mode === 'read' ? [`RUnlock${of}`, 'RLock'] : [`Unlock${of}`, 'Lock'];
  if (deferred !== null) {
    const message = `${unlock} deferred in ${deferred.func}`;
    evidence.push({ code: deferred.isCertain ? 'unlock-deferred' : 'unlock-deferred-maybe', message });
  }
  if (position !== null) {
    const where = `between ${lock} and ${unlock} in ${position.func}`;
    if (position.isByCallee)
      evidence.push({
        code: 'lock-held-by-callee',
        message: `after a call in ${position.func} that acquires ${type ?? 'it'} on some path`,
      });
    else if (!position.isCertain)
      evidence.push({ code: 'lock-held-on-some-path', message: `${where}, on one of its paths` });
    else if (!position.isSure)
      evidence.push({ code: 'lock-held-by-pointer', message: `${where}, as far as its pointers tell` });
    else
      evidence.push({
        code: 'lock-held',
        message: claim.isReleasedNext ? where : `after ${lock}${of} in ${position.func}`,
      });
  }
  if (ahead !== null && evidence.length === 0) {
    evidence.push({ code: 'unlock-ahead', message: `${unlock} ahead in ${ahead}, without ${lock} before it` });
  }
  if (evidence.length === 0) return null;
  const weight = position?.isCertain === true || deferred?.isCertain === true ? 2 : position === null ? 1 : 0;
  return { goid, strength: strengthOf(claim), evidence, isWaiter, weight };
}

function strengthOf({ position, deferred, isReleasedNext, isDoubtful }: Claim): Strength {
  const isHeld = position !== null && position.isCertain && position.isSure;
  const isDeferred = deferred?.isCertain === true;
  if (isHeld && isDeferred) return isDoubtful ? 'probable' : 'exact';
  if (isDeferred || (isHeld && isReleasedNext)) return isDoubtful ? 'probable' : 'strong';
  if (isHeld || deferred !== null || position?.isCertain === true || position?.isSure === true)
    return isDoubtful ? 'candidate' : 'probable';
  return position === null && !isDoubtful ? 'probable' : 'candidate';
}

/**
 * The strongest first. One alone holds a lock for writing: where one surely does, the others are left out, and where several
 * seem to, none of them surely does. Those that wait for the lock themselves count only where nobody else does, or if they surely
 * hold it.
 */
function ranked({ held, kind }: WantedLock, found: readonly Found[]): Holder[] {
  const sure = found.filter(({ strength }) => isSure(strength));
  const others = found.filter(({ isWaiter, strength }) => !isWaiter || isSure(strength));
  const likely = others.some(({ strength }) => strength !== 'candidate') ? others : found;
  const listed = held === 'read' ? likely : sure.length === 1 ? sure : disputed(likely);
  return listed
    .map(({ goid, strength, evidence }) => ({
      goid,
      strength: kind === 'own' ? lessened(strength, evidence) : strength,
      evidence,
    }))
    .sort((a, b) => STRENGTHS.indexOf(a.strength) - STRENGTHS.indexOf(b.strength) || a.goid - b.goid);
}

/** Of a lock of a program's own, only the names of its methods say what they do: it takes two reasons for more than a candidate. */
function lessened(strength: Strength, evidence: readonly Evidence[]): Strength {
  return isSure(strength) || (strength === 'probable' && evidence.length > 1) ? 'probable' : 'candidate';
}

/** Claims to what one alone can have: at most one of them is probable. */
function disputed(found: readonly Found[]): Found[] {
  const isLikely = ({ strength }: Found): boolean => strength !== 'candidate';
  const rank = ({ strength, weight }: Found): number => (isSure(strength) ? 3 : weight);
  const likely = found.filter(isLikely);
  const best = likely.reduce((most, one) => Math.max(most, rank(one)), 0);
  const isAlone = likely.filter((one) => rank(one) === best).length === 1;
  return found.map((one) => {
    const strength = isLikely(one) && isAlone && rank(one) === best ? 'probable' : 'candidate';
    return { ...one, strength };
  });
}
