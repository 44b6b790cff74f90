/** One thing that a capture needs, and whether it is so. */
export interface Check {
  /** A stable word for scripts. */
  readonly name: string;
  /** null where it cannot be told, or is neither good nor bad. */
  readonly ok: boolean | null;
  /** What was found, as a clause. */
  readonly finding: string;
  /** What to try where `ok` is false. */
  readonly advice: string | null;
}

export function passed(name: string, finding: string): Check {
  return { name, ok: true, finding, advice: null };
}

export function failed(name: string, finding: string, advice: string | null): Check {
  return { name, ok: false, finding, advice };
}

export function untold(name: string, finding: string): Check {
  return { name, ok: null, finding, advice: null };
}
