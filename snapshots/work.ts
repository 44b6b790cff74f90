/** What a goroutine works on, in the order in which it is told. */
export const WORK_KINDS = [
  ...(['http-server', 'grpc-server', 'sql', 'http-client', 'grpc-client', 'exec', 'file', 'socket'] as const),
  ...(['context', 'lock', 'chan', 'timer'] as const),
] as const;

/** Kinds that decoders of users have are words of their own. */
export const OWN_KIND = /^[a-z][a-z0-9-]{0,31}$/;

/** One thing that a goroutine works on. */
export interface Work {
  /** One of {@link WORK_KINDS}, or that of a {@link DecoderSpec}. */
  readonly kind: string;
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

/** A decoder of the user's own, as data: what it reads, and how it is told. */
export interface DecoderSpec {
  readonly kind: string;
  /** A function as the linker names it. */
  readonly function: string;
  /** Which of the words that are printed of its arguments, counted from 0. */
  readonly word: number;
  /** What the word is, or that and the next: `string`, `interface`, or a type behind a `*`. */
  readonly type: string;
  readonly text: readonly TextPart[];
}

/** Text as it is, or a value by a path of fields. */
export type TextPart = string | { readonly path: string; readonly as: TextForm };

/**
 * What is kept of a string where only shapes are: nothing, a path without its query, SQL without its literals, or all of it.
 * Other values are kept.
 */
export const TEXT_FORMS = ['text', 'path', 'sql', 'plain'] as const;
export type TextForm = (typeof TEXT_FORMS)[number];
