import type { GoProgram } from '../analyze/program.js';
import type { ProofOptions } from '../analyze/leaks/prove.js';
import { proveAll } from '../analyze/leaks/prove-all.js';
import { notProved } from '../analyze/leaks/verdicts.js';
import type { LeakProof } from '../snapshots/leak-proof.js';
import type { CapturedCopies, CaptureMetadata } from './copy/capture-metadata.js';
import { reviewPriority } from './ptrace/priority.js';

/** How it is proved which goroutines are leaked. */
export interface LeakOptions {
  /** Bytes of the heap that may hold pointers, at most. */
  readonly maxHeapBytes: number;
}

/** Options of a capture that concern the proof. */
interface ProverOptions {
  readonly leaks?: LeakOptions;
  readonly signal?: AbortSignal;
  readonly progress?: (doing: string, bytes?: number) => void;
}

const MARKING = 'marking the heap';

/** Proves which goroutines are leaked, if that is asked for, in a process that stands still or in a clone of one. */
export class Prover {
  readonly #options: ProverOptions;
  #proof: LeakProof | string | null = null;

  constructor(options: ProverOptions) {
    this.#options = options;
  }

  async prove(
    programs: readonly GoProgram[],
    known: Pick<ProofOptions, 'lateStacks' | 'areRegistersPartial'>,
  ): Promise<void> {
    const { leaks, signal, progress } = this.#options;
    if (leaks === undefined) return;
    reviewPriority();
    progress?.(MARKING);
    this.#proof = await proveAll(programs, {
      ...leaks,
      ...known,
      signal,
      progress: (bytes) => progress?.(MARKING, bytes),
    });
  }

  /** What was copied, with the proof or with why there is none. */
  withProof(copied: CapturedCopies): CapturedCopies & { readonly leaks: LeakProof | null } {
    const proof = this.#proof;
    if (typeof proof !== 'string') return { ...copied, leaks: proof };
    return { ...copied, metadata: withoutProof(copied.metadata, this.#options.leaks, proof), leaks: null };
  }
}

/** Says why it was not proved which goroutines are leaked, if that was asked for. */
export function withoutProof(
  { threads, facts }: CaptureMetadata,
  leaks: LeakOptions | undefined,
  why: string,
): CaptureMetadata {
  if (leaks === undefined) return { threads, facts };
  return { threads, facts: { ...facts, warnings: [...facts.warnings, notProved(why)] } };
}
