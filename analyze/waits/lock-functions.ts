import { RW_MUTEX } from './sync-types.js';

/** Whether a lock is held by one alone, or by readers. */
export type Mode = 'write' | 'read';

/** What a call of a method of a lock does. */
export interface LockCall {
  readonly does:
    | 'acquire'
    | 'release'
    /** It may acquire: its result says. */
    | 'try'
    /** The slow path of an inlined acquire: it acquires what the receiver is, and blocks until then. */
    | 'wait';
  readonly mode: Mode;
  /**
   * Where an inlined call has its atomic instruction: bytes from the lock to the word that it changes; null where it has
   * several, or that differs between releases.
   */
  readonly atomicOffset: number | null;
  /** Bytes from the lock to what a call is given. */
  readonly receiverOffset: number;
}

/**
 * Methods of sync.Mutex and sync.RWMutex (sync/mutex.go, sync/rwmutex.go; internal/sync/mutex.go since Go 1.24). The atomic
 * word of a Mutex is its first, of readers readerCount; other methods of an RWMutex call those of its Mutex, which is its
 * first field.
 */
const METHOD = /^(?:internal\/)?sync\.\(\*(Mutex|RWMutex)\)\.(Try)?(R?)(Lock|Unlock)$/;
/** The slow path of Mutex.Lock since Go 1.13, which is inlined since then. */
const SLOW_LOCK = /^(?:internal\/)?sync\.\(\*Mutex\)\.lockSlow$/;
/** The slow path of RWMutex.RLock, which alone of all inlined methods waits for a semaphore itself: readerSem. */
const SLOW_RLOCK = /^sync\.runtime_Semacquire/;

/**
 * Slow paths of inlined methods, since Go 1.13: what the method does, and bytes from what the call is given to the word that
 * the method's atomic instruction changes. The instruction itself may bear no sign that it was inlined.
 */
const SLOW_PATHS: readonly (readonly [name: RegExp, path: SlowPath])[] = [
  [SLOW_LOCK, { does: 'acquire', mode: 'write', toAtomic: 0 }],
  [SLOW_RLOCK, { does: 'acquire', mode: 'read', toAtomic: RW_MUTEX.readerCount - RW_MUTEX.readerSem }],
  [/^(?:internal\/)?sync\.\(\*Mutex\)\.unlockSlow$/, { does: 'release', mode: 'write', toAtomic: 0 }],
  [/^sync\.\(\*RWMutex\)\.rUnlockSlow$/, { does: 'release', mode: 'read', toAtomic: RW_MUTEX.readerCount }],
];

/** The method whose slow path a function is. */
export interface SlowPath {
  readonly does: 'acquire' | 'release';
  readonly mode: Mode;
  readonly toAtomic: number;
}

/** null for a function that is no slow path. */
function slowPathOf(name: string): SlowPath | null {
  return SLOW_PATHS.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** The inlined method that has such a slow path. */
export function inlinedMethod({ does, mode }: SlowPath): LockCall {
  return { does, mode, atomicOffset: mode === 'read' ? RW_MUTEX.readerCount : 0, receiverOffset: 0 };
}

const known = new Map<string, LockCall | null>();

/** What a call of the function of this name does to its receiver; null where that is no lock. */
function lockCallOf(name: string): LockCall | null {
  let call = known.get(name);
  if (call === undefined) known.set(name, (call = read(name)));
  return call;
}

function read(name: string): LockCall | null {
  if (SLOW_LOCK.test(name)) return { does: 'wait', mode: 'write', atomicOffset: null, receiverOffset: 0 };
  if (SLOW_RLOCK.test(name))
    return { does: 'wait', mode: 'read', atomicOffset: null, receiverOffset: RW_MUTEX.readerSem };
  const match = METHOD.exec(name);
  if (match === null) return null;
  const [, type, tries, reader, action] = match;
  const mode: Mode = reader === 'R' ? 'read' : 'write';
  const atomicOffset = type === 'Mutex' ? 0 : mode === 'read' ? RW_MUTEX.readerCount : null;
  const does = action === 'Unlock' ? 'release' : tries === undefined ? 'acquire' : 'try';
  return { does, mode, atomicOffset, receiverOffset: 0 };
}

/** Which functions are methods of locks: of package sync, or of types of a program's own. */
export interface LockMethods {
  /** What a call of the function of this name does to its receiver; null where that is no lock. */
  readonly callOf: (name: string) => LockCall | null;
  /** null for a function that is no slow path of an inlined method. */
  readonly slowPathOf: (name: string) => SlowPath | null;
  /** True for code that implements locks, whose own locking is not its callers'. */
  readonly isOfLocks: (name: string) => boolean;
  /** Whether the compiler inlines them in a way that tells which lock is meant; else only their calls count. */
  readonly areInlined: boolean;
}

/** True for code of package sync that implements locks, whose own locking is not its callers'. */
function isOfLocks(name: string): boolean {
  return /^(?:internal\/)?sync\.(?:\(\*(?:Mutex|RWMutex|rlocker)\)\.\w+$|runtime_)/.test(name);
}

/** Those of package sync. */
export const SYNC_METHODS: LockMethods = { callOf: lockCallOf, slowPathOf, isOfLocks, areInlined: true };

/** Functions of package runtime that never return, which the compiler puts at the end of a path. */
export function neverReturns(name: string): boolean {
  return NEVER.test(name);
}

const NEVER =
  /^runtime\.(?:gopanic|goPanic.*|panic[A-Z].*|panic(?:divide|shift|wrap|nil|float|mem|overflow|memAddr|dottype[EI]|nildottype|makeslicelen|makeslicecap|unsafe.*)|throw|fatal|fatalthrow|goexit[01]?|Goexit|block|morestack.*|sigpanic|deadlock)$/;
