import { ascendingOrder } from '../../snapshots/ascending-order.js';
import type { LeakProof } from '../../snapshots/leak-proof.js';
import type { Segment } from '../../snapshots/memory.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import { NotProvable } from './not-provable.js';
import { proveLeaks } from './prove.js';

/** How a proof is made. */
export interface ProofOptions {
  /** Bytes of the heap that may hold pointers, at most: it takes up to half as much memory here. */
  readonly maxHeapBytes: number;
  /** Parts of threads' stacks that the memory of the image may lack. */
  readonly lateStacks?: readonly Segment[];
  /** Ends it with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Of the goroutines of all Go programs of a process that were blocked, which are leaked; or why that cannot be said, as a clause. */
export async function proveAll(
  programs: readonly GoRuntime[],
  { maxHeapBytes, lateStacks = [], signal }: ProofOptions,
): Promise<LeakProof | string> {
  const proofs: LeakProof[] = [];
  for (const program of programs) {
    const steps = proveLeaks(program, maxHeapBytes, lateStacks);
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
  };
}
