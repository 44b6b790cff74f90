import { ascendingOrder } from '../../snapshots/ascending-order.js';
import type { LeakProof } from '../../snapshots/leak-proof.js';
import type { GoProgram } from '../program.js';
import { NotProvable } from './not-provable.js';
import { proveLeaks, type ProofOptions } from './prove.js';

/** How a proof is made, and how it is watched. */
interface WatchedProof extends ProofOptions {
  /** Ends it with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Of the goroutines of all Go programs of a process that were blocked, which are leaked; or why that cannot be said, as a clause. */
export async function proveAll(
  programs: readonly GoProgram[],
  { signal, ...options }: WatchedProof,
): Promise<LeakProof | string> {
  const proofs: LeakProof[] = [];
  for (const program of programs) {
    const steps = proveLeaks(program, options);
    for (;;) {
      try {
        const step = steps.next();
        if (step.done === true) {
          proofs.push(step.value);
          break;
        }
      } catch (error) {
        if (error instanceof NotProvable) return error.message;
        throw error;
      }
      // Others get their turn: a signal that is to end gospy is one of them.
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }
  return joined(proofs);
}

function joined(proofs: readonly LeakProof[]): LeakProof {
  const [first, ...more] = proofs;
  if (first !== undefined && more.length === 0) return first;
  const gs = Float64Array.from(proofs.flatMap((proof) => [...proof.gs]));
  const outcomes = proofs.flatMap((proof) => [...proof.outcomes]);
  const from = proofs.flatMap((proof) => [...proof.from]);
  const order = ascendingOrder(gs);
  return {
    gs: Float64Array.from(order, (i) => gs[i] ?? 0),
    outcomes: Uint8Array.from(order, (i) => outcomes[i] ?? 0),
    from: Float64Array.from(order, (i) => from[i] ?? 0),
    names: new Map(),
  };
}
