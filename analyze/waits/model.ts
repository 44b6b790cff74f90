import type { Addr } from '../../snapshots/address.js';

/** One thing that a goroutine waits on. A select has one for each case whose channel is not nil. */
export interface WaitsOn {
  readonly kind:
    | 'chan'
    | 'select'
    | 'nilchan'
    | 'mutex'
    | 'rwmutex'
    | 'waitgroup'
    | 'once'
    | 'cond'
    | 'fdmutex'
    | 'semaphore'
    | 'sleep'
    | 'timer'
    | 'fd';
  /**
   * The channel, or the object of package sync or internal/poll that it is (not the semaphore in it); of a descriptor, the
   * runtime's record of it (pollDesc). null if there is none.
   */
  readonly addr: Addr | null;
  readonly op: 'send' | 'recv' | 'lock' | 'rlock' | 'wait' | 'read' | 'write' | null;
  /** Of a channel: values in its buffer, room for them, the name of their type, and whether it is closed. */
  readonly len?: number;
  readonly cap?: number;
  readonly elemType?: string | null;
  readonly closed?: boolean;
  /** Of a lock: whether it is held, by how many readers, and how many wait for it. */
  readonly state?: LockState;
  /** Of a WaitGroup; of a semaphore, how many may go on. */
  readonly counter?: number;
  /** Of a descriptor, with when it is given up: nanoseconds from the capture, negative if that is past; null if never. */
  readonly fd?: number;
  readonly deadlineNs?: number | null;
  /** Of a timer: nanoseconds from the capture; null if it was stopped, or has fired. */
  readonly dueNs?: number | null;
}

/** What the words of a sync.Mutex or sync.RWMutex tell. */
export interface LockState {
  /** Whether one goroutine has it for itself: of an RWMutex, a writer. */
  readonly locked: boolean;
  /** Of an RWMutex: readers that hold it. */
  readonly readers: number;
  /** Goroutines that wait for it, in whichever way. */
  readonly waiters: number;
  readonly starving: boolean;
}

/** How much the evidence bears: `exact` is proved by the runtime's own records, `candidate` only a possibility. */
export type Strength = 'exact' | 'strong' | 'probable' | 'candidate';

/** True for what may be told as certain. */
export function isSure(strength: Strength): boolean {
  return strength === 'exact' || strength === 'strong';
}

/** Why a goroutine is named. */
export interface Evidence {
  /** A word for scripts that does not change between releases. */
  readonly code: string;
  /** One clause, such as `Unlock deferred in db.(*Pool).put`. */
  readonly message: string;
}

/** Who may end a wait. */
export interface Holder {
  readonly goid: number;
  readonly strength: Strength;
  /** The strongest first; at least one. */
  readonly evidence: readonly Evidence[];
}

/** A lock for whose holder is asked: once as a whole for all that wait for it in one way. */
export interface WantedLock {
  readonly addr: Addr;
  /** `own` for one of a type of the program's own (own-locks.ts). */
  readonly kind: 'mutex' | 'rwmutex' | 'once' | 'own';
  /** The name of that type. */
  readonly type?: string;
  /** Whether one that holds it for writing is looked for, or those that hold it for reading. */
  readonly held: 'write' | 'read';
  /** The addresses of the gs that wait for it: they do not hold it, unless nobody else can. */
  readonly waiters: ReadonlySet<Addr>;
}
