import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** Which capture rows are of, as partitions of a data set name it. */
export interface Identity {
  /** Unique among captures: `service/host/pid/captured at/runtime`. */
  readonly snapshot: string;
  readonly service: string;
  readonly host: string | null;
  /** `2026-11-26`, or null where it is not known when the capture was made. */
  readonly date: string | null;
}

/** What a data set can be partitioned by: they are the same for all goroutines of a capture. */
export const PARTITIONS = ['service', 'date', 'host'] as const;
export type Partition = (typeof PARTITIONS)[number];

/**
 * Where the goroutines of a capture lie in a data set, in the layout of Hive: `service=shop/date=2026-11-26/host=web1/`.
 * The same capture always has the same file, so that writing it again replaces it and never adds rows twice.
 */
export function partitionPath(folder: string, by: readonly Partition[], identity: Identity): string {
  const parts = by.map((name) => `${name}=${hiveValue(identity[name])}`);
  const id = createHash('sha256').update(identity.snapshot).digest('hex').slice(0, 24);
  return join(folder, ...parts, `gospy-${id}.parquet`);
}

/** Hive's name for a value that is not known. */
const UNKNOWN = '__HIVE_DEFAULT_PARTITION__';
/** File systems take names of 255 bytes. */
const MOST_VALUE = 200;

/** As Hive and Spark escape values in the names of folders: what a path could not have becomes `%2F`. */
function hiveValue(value: string | null): string {
  if (value === null || value === '') return UNKNOWN;
  const escaped = [...Buffer.from(value)].map((byte) => {
    const c = String.fromCharCode(byte);
    return /[\w.@+,~-]/.test(c) ? c : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
  const text = escaped.join('').replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));
  return text.length <= MOST_VALUE ? text : text.slice(0, MOST_VALUE).replace(/%.?$/, '');
}
