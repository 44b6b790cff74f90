import { hex, type Addr } from '../../snapshots/address.js';
import { indexOfG, OUTCOMES, type LeakProof, type Outcome } from '../../snapshots/leak-proof.js';
import type { GoProgram } from '../program.js';
import { readGoroutine } from '../runtime/memory-ranges.js';
import type { G } from '../runtime/goroutine.js';
import type { Evidence } from '../waits/model.js';
import { LocationResolver } from './locations.js';

/** What a proof says of a goroutine. */
export interface ProvedOutcome {
  readonly outcome: Outcome;
  /** What goroutines have in common that are reached from the same. */
  readonly root: string;
  readonly evidence: Evidence;
}

/** Puts into words what the proof in an image says of goroutines: nothing reaches what they wait on, or from where it is reached first. */
export class LeakRoots {
  readonly #program: GoProgram;
  readonly #proof: LeakProof | null;
  readonly #locations: LocationResolver;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#proof = program.image.leaks ?? null;
    this.#locations = new LocationResolver(program);
  }

  /** False where the image has no proof. */
  get isProved(): boolean {
    return this.#proof !== null;
  }

  /** null where the proof says nothing about the goroutine. */
  of({ addr }: Pick<G, 'addr'>): ProvedOutcome | null {
    const i = this.#proof === null ? -1 : indexOfG(this.#proof, addr);
    const outcome = OUTCOMES[this.#proof?.outcomes[i] ?? -1];
    if (outcome === undefined) return null;
    return { outcome, ...this.#explain(outcome, (this.#proof?.from[i] ?? 0) as Addr) };
  }

  #explain(outcome: Outcome, from: Addr): Pick<ProvedOutcome, 'root' | 'evidence'> {
    const name = this.#proof?.names.get(from) ?? null;
    const variable = name ?? `at ${hex(from)}`;
    const found = (root: string, code: string, message: string): Pick<ProvedOutcome, 'root' | 'evidence'> => ({
      root,
      evidence: { code, message },
    });
    switch (outcome) {
      case 'leaked':
        return found('', 'unreachable', 'nothing that can run reaches what it waits on');
      case 'leaked but deferred':
        return found('', 'deferred-only', DEFERRED_ONLY);
      case 'global':
        return found(variable, 'reached-from-global', `the global variable ${variable} reaches what it waits on`);
      case 'goroutine': {
        const [goid, func] = this.#goroutineAt(from);
        const message = `${goid === null ? 'a goroutine' : `goroutine ${goid}`} (${func}) reaches what it waits on`;
        return found(func, 'reached-from-goroutine', message);
      }
      case 'finalizer':
        return found('', 'reached-from-finalizer', FINALIZER);
      case 'thread':
        return found('', 'reached-from-thread', 'a register or the stack of a thread holds what it waits on');
      case 'outside': {
        const message = name === null ? OUTSIDE : `it waits on the global variable ${name}, which all may reach`;
        return found(name ?? '', 'outside-heap', message);
      }
    }
  }

  #goroutineAt(g: Addr): [goid: number | null, func: string] {
    const found = readGoroutine(this.#program, g);
    return [found?.goid ?? null, found === null ? '?' : (this.#locations.entry(found)?.func ?? '?')];
  }
}

const DEFERRED_ONLY =
  "nothing reaches what it waits on but deferred calls of its own, so Go's own profile does not name it";
const FINALIZER = 'a finalizer, or another record that the runtime keeps of an object, reaches what it waits on';
const OUTSIDE = 'what it waits on lies outside of the heap, where all may reach it';
