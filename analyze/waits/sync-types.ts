import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { MAX_FD } from '../runtime/poll-desc.js';
import type { GoRelease } from '../runtime/releases.js';
import { COND_NOTIFY } from '../runtime/wait-records.js';
import type { LockState, WaitsOn } from './model.js';

/** Byte offsets in sync.Mutex (mutex.go; it wraps that of internal/sync since 1.24): `state` is an int32. */
export const MUTEX = { state: 0, sema: 4 } as const;
/** Bits of that state: mutexLocked and mutexStarving; the waiters are counted above mutexWaiterShift. */
export const MUTEX_LOCKED = 1;
const MUTEX_STARVING = 4;
const MUTEX_WAITER_SHIFT = 3;
/** In sync.RWMutex (rwmutex.go): the Mutex `w` of writers, and int32s. */
export const RW_MUTEX = { w: 0, writerSem: 8, readerSem: 12, readerCount: 16, readerWait: 20 } as const;
/** rwmutexMaxReaders, by which a writer lowers readerCount. */
const MAX_READERS = 2 ** 30;
/** In sync.WaitGroup (waitgroup.go): the semaphore follows the state, whose high 32 bits are the counter. */
const WAIT_GROUP = { sema: 8, counter: 4 } as const;
/** In internal/poll.fdMutex (fd_mutex.go), which an FD begins with; the descriptor follows it (fd_unix.go). */
const FD_MUTEX = { rsema: 8, wsema: 12, sysfd: 16 } as const;
/** Which semaphore of which type a goroutine waits for. `writers` is the Mutex in an RWMutex, for which a second writer waits. */
export type SyncRole =
  'mutex' | 'writers' | 'writer' | 'reader' | 'waitgroup' | 'once' | 'cond' | 'fdmutex' | 'semaphore';

/** Reads the objects that semaphores, and the lists of sync.Cond, are part of. */
export class SyncTypes {
  readonly #memory: Memory;
  readonly #release: GoRelease;

  constructor(memory: Memory, release: GoRelease) {
    this.#memory = memory;
    this.#release = release;
  }

  /** What a goroutine waits on that waits for a semaphore in this role; of a sync.Cond, in its notifyList. */
  waitOn(role: SyncRole, sync: Addr): WaitsOn {
    switch (role) {
      case 'mutex': {
        const addr = plus(sync, -MUTEX.sema);
        return { kind: 'mutex', addr, op: 'lock', ...stateOf(this.mutex(addr)) };
      }
      case 'writers':
        return this.#rwMutex(plus(sync, -MUTEX.sema), 'lock');
      case 'writer':
        return this.#rwMutex(plus(sync, -RW_MUTEX.writerSem), 'lock');
      case 'reader':
        return this.#rwMutex(plus(sync, -RW_MUTEX.readerSem), 'rlock');
      case 'waitgroup':
        return this.#waitGroup(sync);
      case 'once': {
        const mutex = plus(sync, -MUTEX.sema);
        const addr = plus(mutex, -this.#release.onceMutex);
        return { kind: 'once', addr, op: 'lock', ...stateOf(this.mutex(mutex)) };
      }
      case 'cond':
        return { kind: 'cond', addr: plus(sync, -COND_NOTIFY), op: 'wait' };
      case 'fdmutex':
        return this.#fdMutex(sync);
      case 'semaphore':
        return { kind: 'semaphore', addr: sync, op: null, ...counterOf(this.#i32(sync, 0)) };
    }
  }

  #rwMutex(addr: Addr, op: 'lock' | 'rlock'): WaitsOn {
    return { kind: 'rwmutex', addr, op, ...stateOf(this.rwMutex(addr)) };
  }

  /** The state of the sync.Mutex at an address; null where it is absent, or no Mutex has such a state. */
  mutex(addr: Addr): LockState | null {
    const state = this.#i32(addr, MUTEX.state);
    if (state === null || state < 0) return null;
    return {
      locked: (state & MUTEX_LOCKED) !== 0,
      readers: 0,
      waiters: state >> MUTEX_WAITER_SHIFT,
      starving: (state & MUTEX_STARVING) !== 0,
    };
  }

  /** The state of the sync.RWMutex at an address; null where it is absent, or no RWMutex has such a state. */
  rwMutex(addr: Addr): LockState | null {
    const writers = this.mutex(plus(addr, RW_MUTEX.w));
    const readerCount = this.#i32(addr, RW_MUTEX.readerCount);
    const readerWait = this.#i32(addr, RW_MUTEX.readerWait);
    if (writers === null || readerCount === null || readerWait === null || readerCount < -MAX_READERS) return null;
    const { waiters, starving } = writers;
    if (readerCount >= 0) return { locked: false, readers: readerCount, waiters, starving };
    const readers = readerCount + MAX_READERS;
    if (readerWait > readers) return null;
    // A writer has come. It waits for as many as readerWait, who were there first; those that came since wait for it.
    const before = Math.max(0, readerWait);
    const waiting = readers - before + waiters;
    return { locked: before === 0, readers: before, waiters: before === 0 ? waiting : waiting + 1, starving };
  }

  #waitGroup(sema: Addr): WaitsOn {
    // Three words: the state is the first two if they are aligned, else the last two.
    const isFirst = this.#release.waitGroupState === 'first' || sema % 8 === 0;
    const addr = isFirst ? plus(sema, -WAIT_GROUP.sema) : sema;
    const counter = this.#i32(isFirst ? addr : plus(sema, 4), WAIT_GROUP.counter);
    return { kind: 'waitgroup', addr, op: 'wait', ...counterOf(counter) };
  }

  #fdMutex(sema: Addr): WaitsOn {
    // It has 64 bits of state, so it is aligned, and so is the first of its semaphores.
    const isReader = sema % 8 === 0;
    const addr = plus(sema, -(isReader ? FD_MUTEX.rsema : FD_MUTEX.wsema));
    const fd = onFault(
      () => this.#memory.word(addr, FD_MUTEX.sysfd),
      () => MAX_FD,
    );
    return { kind: 'fdmutex', addr, op: isReader ? 'read' : 'write', ...(fd < MAX_FD ? { fd } : {}) };
  }

  #i32(addr: Addr, offset: number): number | null {
    return onFault(
      () => this.#memory.i32(addr, offset),
      () => null,
    );
  }
}

function counterOf(counter: number | null): { readonly counter?: number } {
  return counter === null ? {} : { counter };
}

function stateOf(state: LockState | null): { readonly state?: LockState } {
  return state === null ? {} : { state };
}
