/** One thing that a capture needs, and whether it is there. */
export interface Check {
  /** A stable word for scripts. */
  readonly name: string;
  /** null if it cannot be known, or is neither good nor bad. */
  readonly ok: boolean | null;
  /** What was found, as a clause. */
  readonly finding: string;
  /** What to try if `ok` is false. */
  readonly advice: string | null;
}

export function pass(name: string, finding: string): Check {
  return { name, ok: true, finding, advice: null };
}

export function fail(name: string, finding: string, advice: string | null): Check {
  return { name, ok: false, finding, advice };
}

export function unknown(name: string, finding: string): Check {
  return { name, ok: null, finding, advice: null };
}
