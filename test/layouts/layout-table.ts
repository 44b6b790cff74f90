import { isDeepStrictEqual } from 'node:util';
import { compareGoVersions, type GoVersion } from '../../analyze/binary/go-version.js';
import { versionOf } from '../../analyze/runtime/releases.js';
import type { StructLayout } from '../../snapshots/image.js';

/** One struct in a range of releases. */
export interface Entry {
  readonly from: string;
  readonly to: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, number>>;
}

/** The content of layouts.json: for each struct its entries, oldest first. */
export type LayoutTable = Readonly<Record<string, readonly Entry[]>>;

/** As layouts.json is written: one line an entry. */
export function formatTable(table: LayoutTable): string {
  const structs = Object.entries(table).map(
    ([struct, entries]) =>
      `  "${struct}": [\n${entries.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n')}\n  ]`,
  );
  return `{\n${structs.join(',\n')}\n}\n`;
}

/** The entry of a release: the last one that starts at or before it. */
export function entryOf(entries: readonly Entry[], version: GoVersion): Entry | undefined {
  return entries.findLast(({ from }) => compareGoVersions(versionOf(from), version) <= 0);
}

/**
 * The entries of a struct with one more release: the entry before it is extended to it if the layout is the same, else
 * it gets an entry of its own. Throws where the table covers the release and says otherwise.
 */
export function extendEntries(entries: readonly Entry[], version: GoVersion, layout: StructLayout): Entry[] {
  const entry = entryOf(entries, version);
  const isSame = entry !== undefined && differences(entry, layout).length === 0;
  const covered = entry !== undefined && compareGoVersions(version, versionOf(entry.to)) <= 0;
  if (covered && !isSame) throw new Error(`the table has another layout from ${entry.from} to ${entry.to}`);
  if (covered) return [...entries];
  if (isSame) return entries.map((other) => (other === entry ? { ...other, to: version.text } : other));
  const fields = Object.fromEntries(Object.entries(layout.fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  const added = { from: version.text, to: version.text, size: layout.sizeBytes, fields };
  const at = entry === undefined ? 0 : entries.indexOf(entry) + 1;
  return entries.toSpliced(at, 0, added);
}

/** What moved from an entry to a layout: `size 376 -> 392`, `goid 152 -> 160`, `timer gone`, `coro new at 440`. */
export function differences(entry: Entry, { sizeBytes, fields }: StructLayout): string[] {
  if (entry.size === sizeBytes && isDeepStrictEqual({ ...entry.fields }, { ...fields })) return [];
  const names = [...new Set([...Object.keys(entry.fields), ...Object.keys(fields)])].sort();
  const size = entry.size === sizeBytes ? [] : [`size ${entry.size} -> ${sizeBytes}`];
  return [...size, ...names.flatMap((name) => describeField(name, entry.fields[name], fields[name]))];
}

function describeField(name: string, before: number | undefined, after: number | undefined): string[] {
  if (before === after) return [];
  if (after === undefined) return [`${name} gone`];
  return [before === undefined ? `${name} new at ${after}` : `${name} ${before} -> ${after}`];
}
