import { onFault } from '../../snapshots/memory.js';
import type { G } from '../runtime/goroutine.js';
import { goroutineOf, type Waits } from '../waits/program-waits.js';
import { Describer } from './goroutines.js';
import { LocationResolver } from './locations.js';
import { StackIds, type KnownStack } from '../stack-ids.js';

/** Packages outside the standard library whose functions wait on behalf of their callers, which say what for. */
const MACHINERY = /^golang\.org\/x\/sync\/[a-z]+\./;

/** The functions in which goroutines wait, seen through those of the standard library and of packages that wait for others. */
export class WaitingFunctions {
  readonly #waits: Waits;
  readonly #describer: Describer;
  readonly #locations: LocationResolver;
  readonly #stackIds = new StackIds();
  readonly #byStack = new WeakMap<KnownStack, string | null>();
  /** By index of a goroutine. */
  readonly #known = new Map<number, string>();

  constructor(waits: Waits, describer: Describer) {
    this.#waits = waits;
    this.#describer = describer;
    this.#locations = new LocationResolver(waits.program);
  }

  /** The function of the goroutine with an index; the one that it was started with if all others are such packages'. */
  of(index: number): string {
    let func = this.#known.get(index);
    if (func === undefined) this.#known.set(index, (func = this.#find(index)));
    return func;
  }

  #find(index: number): string {
    const g = onFault(
      () => goroutineOf(this.#waits, index),
      () => null,
    );
    return g === null ? '?' : (this.#ofStack(g) ?? this.#describer.describe(g).entry?.func ?? '?');
  }

  #ofStack(g: G): string | null {
    const { known } = this.#stackIds.find(this.#waits.program, g);
    let func = this.#byStack.get(known);
    if (func === undefined) {
      const frames = known.frames.filter(
        ({ point, trap }) => !point.lines(trap).every(({ name }) => MACHINERY.test(name)),
      );
      this.#byStack.set(known, (func = this.#locations.app(frames)?.func ?? null));
    }
    return func;
  }
}
