/** What a goroutine works on, in the order in which it is told. */
export const WORK_KINDS = [
  ...(['http-server', 'grpc-server', 'sql', 'http-client', 'grpc-client', 'exec', 'file', 'socket'] as const),
  ...(['context', 'lock', 'chan', 'timer'] as const),
] as const;
export type WorkKind = (typeof WORK_KINDS)[number];

/** One thing that a goroutine works on. */
export interface Work {
  readonly kind: WorkKind;
  /** One line. */
  readonly text: string;
  /** False if it is probable: what it was read from may have been freed. */
  readonly sure: boolean;
  /** Since when, in seconds since 1970; null if that is not known. */
  readonly since: number | null;
  /** When it is to be over, in milliseconds since 1970: of a context with a deadline. */
  readonly deadlineMs?: number;
  /** What equal work has in common: without queries, ids, literals and addresses. */
  readonly group: string;
}

/**
 * How much of the values of a program a capture keeps. `shape`: types, addresses and numbers, paths without queries, SQL
 * without literals, and no other string. `full`: strings too, up to 256 bytes each.
 */
export const VALUE_LEVELS = ['none', 'shape', 'full'] as const;
export type ValueLevel = (typeof VALUE_LEVELS)[number];

/** What a capture found out about what goroutines work on. */
export interface StoredWork {
  readonly level: ValueLevel;
  /** By the address of the g; goroutines of which nothing is known are left out. */
  readonly byG: ReadonlyMap<number, readonly Work[]>;
}
