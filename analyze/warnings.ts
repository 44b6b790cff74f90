/** Something that the analysis could not tell, and for which goroutine. */
export interface Warning {
  /** A stable word for scripts, such as `labels-unreadable`. */
  readonly code: string;
  readonly goid?: number;
  readonly message: string;
}

/**
 * Collects warnings and keeps each once: the first of a code for a goroutine, and of a code and message where a warning
 * names no goroutine. Readers may therefore report what they find every time they come across it.
 */
export class WarningCollector {
  readonly #byKey = new Map<string, Warning>();

  /** Starts with `inherited`, such as what is known of the same program from another image of it. */
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
