/** Something that could not be found out, and the goroutine that it concerns. */
export interface Warning {
  /** A word for scripts that does not change between releases, such as `labels-unreadable`. */
  readonly code: string;
  readonly goid?: number;
  /** Which of the process's Go runtimes it concerns: RuntimeId.n in runtime/go-runtime.ts; absent where it concerns no single one. */
  readonly runtime?: number;
  readonly message: string;
}

/** Goroutines that get a warning of one code each; one more warning counts the others. */
const MAX_LISTED = 1000;

/**
 * Collects warnings, each once: the first with its code for a goroutine, or without a goroutine the first with its code
 * and message. So readers may warn every time they come across a fault.
 */
export class WarningCollector {
  readonly #byKey = new Map<string, Warning>();
  /** By code, the goroutines that were warned of: with {@link MAX_LISTED} in the list, the others are only counted. */
  readonly #goroutines = new Map<string, Set<number>>();

  /** Starts with `inherited`, such as the warnings about the same program in another image. */
  constructor(inherited: Iterable<Warning> = []) {
    for (const warning of inherited) this.add(warning);
  }

  add(warning: Warning): void {
    const { code, goid, message } = warning;
    if (goid !== undefined && !this.#isListed(code, goid)) return;
    const key = `${code} ${goid ?? message}`;
    if (!this.#byKey.has(key)) this.#byKey.set(key, warning);
  }

  /** Runs `pass` and lists what it adds in the order of goroutine ids, those of no goroutine first. */
  listByGoid(pass: () => void): void {
    const before = this.#byKey.size;
    pass();
    this.#sortFrom(before);
  }

  /** The same for a pass that goes on as its items are asked for. */
  *listingByGoid<T>(pass: Iterable<T>): Iterable<T> {
    const before = this.#byKey.size;
    try {
      yield* pass;
    } finally {
      this.#sortFrom(before);
    }
  }

  #sortFrom(before: number): void {
    if (this.#byKey.size === before) return;
    const added = [...this.#byKey].slice(before);
    added.sort(([, a], [, b]) => (a.goid ?? 0) - (b.goid ?? 0));
    for (const [key] of added) this.#byKey.delete(key);
    for (const [key, warning] of added) this.#byKey.set(key, warning);
  }

  /** In the order in which they were added; at the end how many goroutines are not listed, code by code. */
  get all(): readonly Warning[] {
    const more = [...this.#goroutines]
      .filter(([, { size }]) => size > MAX_LISTED)
      .map(([code, { size }]) => ({ code, message: `${size - MAX_LISTED} more goroutines have this warning` }));
    return [...this.#byKey.values(), ...more];
  }

  #isListed(code: string, goid: number): boolean {
    let goids = this.#goroutines.get(code);
    if (goids === undefined) this.#goroutines.set(code, (goids = new Set()));
    if (goids.has(goid)) return false;
    goids.add(goid);
    return goids.size <= MAX_LISTED;
  }
}
