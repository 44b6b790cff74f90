import type { Evidence, Strength } from '../waits/model.js';
import type { LongList } from './long-list.js';
import type { Wait } from './model.js';

/** The plain data of the report on who waits for whom, as docs/cli.md promises it for JSON; some of it only text shows. */

/** A goroutine that waits, and on what. */
export interface WaitingGoroutine {
  readonly goid: number;
  readonly runtime: number;
  readonly waitReason: string | null;
  readonly on: readonly Wait[];
}

/** `from` waits for `to`. */
export interface WaitEdge {
  readonly from: number;
  readonly to: number;
  readonly runtime: number;
  readonly addr: string | null;
  readonly strength: Strength;
  readonly evidence: readonly Evidence[];
}

/** What one goroutine waits on, and who has to end that. */
export interface WaitStep {
  readonly goid: number;
  /** Where it waits, outside packages runtime and sync. */
  readonly func: string;
  /** A sentence without its subject. */
  readonly message: string;
}

/** A step of a chain. */
export interface ChainStep extends WaitStep {
  /** What a proof says: whether it is leaked, or from where what it waits on is reached first. null where there is none. */
  readonly leak: Evidence | null;
}

/** Goroutines that wait for each other: the first for the second, and the last for the first. */
export interface WaitCycle {
  readonly runtime: number;
  readonly goids: readonly number[];
  readonly strength: Strength;
  readonly message: string;
  readonly steps: readonly WaitStep[];
  /** Other goroutines that wait for one of them, directly or not. */
  readonly waiters: number;
  /** For how long all of them have waited at least; null where that is not known. */
  readonly waitSinceNs: number | null;
}

/** What a chain of waits ends at: a goroutine, one of a cycle, or something that nobody is known to end. */
export interface WaitRoot {
  readonly runtime: number;
  readonly goid?: number;
  readonly on?: Wait;
  readonly waiters: number;
  readonly message: string;
}

/** Something that goroutines wait on, with who has to end the wait. */
export interface WaitedThing {
  readonly runtime: number;
  readonly on: Wait;
  readonly waiters: number;
  readonly holders: readonly number[];
  readonly message: string;
}

/** How many goroutines wait for what ends by itself. */
export interface OwnEnds {
  readonly io: number;
  readonly timers: number;
  /** When the next timer of those fires, in nanoseconds from the capture; null where none is known. */
  readonly nextDueNs: number | null;
}

/** Who waits for whom. Lists that may be long are worked out anew by each iteration. */
export interface WaitReport {
  readonly goroutines: Iterable<WaitingGoroutine>;
  /** Of each goroutine that waits, with the best `to` first. */
  readonly edges: Iterable<WaitEdge>;
  readonly cycles: readonly WaitCycle[];
  /** The one that most wait for first. */
  readonly roots: LongList<WaitRoot>;
  /** Those of them that several goroutines wait for, and that are goroutines. */
  readonly chains: LongList<WaitRoot>;
  /** Locks first, then what else others end; of a kind, what most wait for first. Without those that only {@link cycles} wait for. */
  readonly things: LongList<WaitedThing>;
  /** Of the one goroutine that is followed, what it waits on, then whom that waits for, to the end of the chain. */
  readonly chain: readonly ChainStep[];
  readonly ends: OwnEnds;
}

/** What is asked for. */
export interface WaitQuery {
  /** Follows only this goroutine: what it waits on, whom that waits for, and so on. */
  readonly goid?: number | undefined;
}
