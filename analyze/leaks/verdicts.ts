import { OUTCOMES, type LeakProof, type Outcome } from '../../snapshots/leak-proof.js';
import type { ImageWarning } from '../../snapshots/image.js';

/** How many goroutines a proof is about. */
export interface LeakCount {
  /** Goroutines that were blocked on something that other goroutines act on. */
  readonly blocked: number;
  /** Of these, those that nothing can ever wake. */
  readonly leaked: number;
}

/** True for a goroutine that nothing can ever wake. */
export function isLeaked(outcome: Outcome): boolean {
  return outcome === 'leaked' || outcome === 'leaked but deferred';
}

/** null where there is no proof. */
export function countLeaks(proof: LeakProof | null): LeakCount | null {
  if (proof === null) return null;
  const leaked = proof.outcomes.reduce((sum, i) => sum + (isLeaked(OUTCOMES[i] ?? 'outside') ? 1 : 0), 0);
  return { blocked: proof.gs.length, leaked };
}

/** Says that a proof was asked for and could not be made, and why. */
export function notProved(why: string): ImageWarning {
  return { code: 'leaks-not-proved', message: `it is not known which goroutines are leaked: ${why}` };
}
