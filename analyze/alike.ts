import type { Addr } from '../snapshots/address.js';
import type { G } from './runtime/goroutine.js';
import type { KnownStack } from './stack-ids.js';

/**
 * What some goroutines have in common: the return addresses of their stacks, and the go statement that started them. None has
 * deferred calls on its list (g._defer), nor ancestors.
 */
export interface Alike {
  readonly stack: KnownStack;
}

/** A goroutine, and what it has in common with others where that is known. */
export interface Member {
  readonly g: G;
  readonly alike: Alike | null;
}

/** Goroutines of which nothing is known. */
export function* alone(goroutines: Iterable<G>): Iterable<Member> {
  for (const g of goroutines) yield { g, alike: null };
}

/** The goroutines of a program, many of which are known to be alike. */
export interface AlikeGoroutines {
  /**
   * Those that have not ended, in an order in which their stacks are quick to read. Of those that are alike, only those that are
   * wanted: the others are not even looked at.
   */
  members(isWanted: (alike: Alike) => boolean): Iterable<Member>;
  /** The label sets of those that are alike, one or more times each. */
  labels(): Iterable<Addr>;
  /** The types of the values of the channels that those wait on which are alike, and maybe others. */
  readonly elemTypes: Iterable<Addr>;
}
