import type { Addr } from '../../../snapshots/address.js';
import type { GoProgram } from '../../../analyze/program.js';
import { WaitReader } from '../../../analyze/runtime/wait-records.js';
import type { Holder, WantedLock } from '../../../analyze/waits/model.js';

/** A lock of the fixture `locks`, and who holds it by its own word. */
export interface ToldLock {
  readonly shape: string;
  /** Empty where the goroutine that locked it has ended. */
  readonly holders: readonly number[];
  readonly lock: WantedLock;
}

const LINE = /^H (?<shape>\S+) waiter=(?<waiter>\d+) holder=(?<holders>\S+) addr=0x(?<addr>[0-9a-f]+)$/gm;
/** Bytes of the largest of sync's locks. */
const LOCK_BYTES = 24;
/** sync.Mutex.sema. */
const MUTEX_SEMA = 4;

/** The locks that the fixture tells of in its output. */
export function toldLocks(program: GoProgram, output: string): ToldLock[] {
  const waits = new WaitReader(program);
  const waiting = [...program.goroutines()].map((g) => ({ ...g, sync: waits.waitsFor(g)?.sync ?? 0 }));
  return [...output.matchAll(LINE)].map(({ groups: { shape = '', waiter = '', holders = '', addr = '' } = {} }) => {
    const sema = waiting.find(({ goid }) => goid === Number(waiter))?.sync ?? 0;
    // Of a library's Mutex, only what its waiter waits for is known.
    const at = parseInt(addr, 16) || sema - MUTEX_SEMA;
    const lock: WantedLock = {
      addr: at as Addr,
      kind: shape.startsWith('rw-') ? 'rwmutex' : shape === 'once' ? 'once' : 'mutex',
      held: shape === 'rw-reader' ? 'read' : 'write',
      waiters: new Set(waiting.filter(({ sync }) => sync >= at && sync < at + LOCK_BYTES).map((g) => g.addr)),
    };
    return {
      shape,
      holders: holders
        .split(',')
        .map(Number)
        .filter((goid) => goid !== 0),
      lock,
    };
  });
}

/** What is wrong with the holders that were found. */
export interface Faults {
  /** Named with more certainty than the evidence bears. */
  readonly untrue: readonly string[];
  /** Locks of ordinary code whose holder does not come first. */
  readonly missed: readonly string[];
  /** How many were called probable, and how many of them are none. */
  readonly probable: number;
  readonly wronglyProbable: number;
}

/** `moved` are the ids of goroutines that moved while they were copied, of which nothing is said. */
export function holderFaults(
  told: readonly ToldLock[],
  found: ReadonlyMap<WantedLock, readonly Holder[]>,
  moved: ReadonlySet<number>,
): Faults {
  const named = told.flatMap(({ shape, holders, lock }) =>
    (found.get(lock) ?? []).map((holder) => ({ ...holder, shape, holders, isRight: holders.includes(holder.goid) })),
  );
  const untrue = named.filter(({ strength, isRight, shape }) => {
    return (
      !isRight && (strength === 'exact' || strength === 'strong' || (strength === 'probable' && shape === 'ended'))
    );
  });
  const probable = named.filter(({ strength }) => strength === 'probable');
  const missed = told.filter(({ shape, holders, lock }) => {
    const first = (found.get(lock) ?? []).slice(0, holders.length).map(({ goid }) => goid);
    return !shape.startsWith('hard-') && holders.some((goid) => !moved.has(goid) && !first.includes(goid));
  });
  return {
    untrue: untrue.map(({ shape, holders, goid, strength, evidence }) => {
      const why = evidence.map(({ message }) => message).join(', ');
      return `${shape}: held by ${holders.join()}, not ${strength} by ${goid}: ${why}`;
    }),
    missed: missed.map(({ shape, holders }) => `${shape}: ${holders.join()}`),
    probable: probable.length,
    wronglyProbable: probable.filter(({ isRight }) => !isRight).length,
  };
}
