/** Something that could not be found out, and the goroutine that it concerns. */
export interface Warning {
  /** A word for scripts that does not change between releases, such as `labels-unreadable`. */
  readonly code: string;
  readonly goid?: number;
  readonly message: string;
}

/**
 * Collects warnings, each once: the first with its code for a goroutine, or without a goroutine the first with its code
 * and message. So readers may warn every time they come across a fault.
 */
export class WarningCollector {
  readonly #byKey = new Map<string, Warning>();

  /** Starts with `inherited`, such as the warnings about the same program in another image. */
  constructor(inherited: Iterable<Warning> = []) {
    for (const warning of inherited) this.add(warning);
  }

  add(warning: Warning): void {
    const key = `${warning.code} ${warning.goid ?? warning.message}`;
    if (!this.#byKey.has(key)) this.#byKey.set(key, warning);
  }

  /** In the order in which they were added. */
  get all(): readonly Warning[] {
    return [...this.#byKey.values()];
  }
}
