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

/** The locks that the fixture tells of in its output. */
export function toldLocks(program: GoProgram, output: string): ToldLock[] {
  const waits = new WaitReader(program);
  const waiting = [...program.goroutines()].map((g) => ({ addr: g.addr, sync: waits.waitsFor(g)?.sync ?? 0 }));
  return [...output.matchAll(LINE)].map(({ groups: { shape = '', holders = '', addr = '' } = {} }) => {
    const at = parseInt(addr, 16);
    const lock: WantedLock = {
      addr: at as Addr,
      kind: shape.startsWith('rw-') ? 'rwmutex' : shape === 'once' ? 'once' : 'mutex',
      held: shape === 'rw-reader' ? 'read' : 'write',
      waiters: new Set(
        waiting.filter(({ sync }) => sync >= at && sync < at + LOCK_BYTES).map(({ addr: waiter }) => waiter),
      ),
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

/** What of the program shows only by deferred calls whose records are in the heap, which snapshots of processes lack. */
const HEAP_DEFERS = new Set(['loop-defers']);

/** The locks of which a snapshot of a process has what tells who holds them. */
export function toldInSnapshots(told: readonly ToldLock[]): ToldLock[] {
  return told.filter(({ shape }) => !HEAP_DEFERS.has(shape));
}

/** What is wrong with the holders that were found: more said than is true, or too little. */
export function holderFaults(told: readonly ToldLock[], found: ReadonlyMap<WantedLock, readonly Holder[]>): string[] {
  return told.flatMap(({ shape, holders, lock }) => {
    const named = found.get(lock) ?? [];
    const wrong = named.filter(({ goid, strength }) => strength !== 'candidate' && !holders.includes(goid));
    const text = wrong.map(({ goid, strength, evidence }) => {
      const why = evidence.map(({ message }) => message).join(', ');
      return `${shape}: held by ${holders.join()}, not ${strength} by ${goid}: ${why}`;
    });
    const missing = holders.filter((goid) => !named.some((holder) => holder.goid === goid));
    return [...text, ...missing.map((goid) => `${shape}: ${goid} is not found`)];
  });
}
