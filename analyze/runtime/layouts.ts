import { unsupported } from '../../snapshots/errors.js';
import type { StructLayout } from '../../snapshots/image.js';
import { compareGoVersions, parseGoVersion, type GoVersion } from '../binary/go-version.js';
import table from './layouts.json' with { type: 'json' };

/** Structs of package runtime whose fields are read. The table holds them for amd64; arm64 differs in none of them. */
export type StructName = keyof typeof table;

/** One struct of package runtime in one release: where its fields lie, in bytes. */
export class Layout {
  readonly struct: string;
  readonly sizeBytes: number;
  readonly #fields: Readonly<Record<string, number>>;

  constructor(struct: string, sizeBytes: number, fields: Readonly<Record<string, number>>) {
    this.struct = struct;
    this.sizeBytes = sizeBytes;
    this.#fields = fields;
  }

  has(field: string): boolean {
    return Object.hasOwn(this.#fields, field);
  }

  /** Offset of a field; throws `unsupported` where this release has none of that name. */
  offset(field: string): number {
    const offset = this.optional(field);
    if (offset !== null) return offset;
    throw unsupported(`runtime.${this.struct} has no field ${field} in the program's Go release`, {
      hint: 'a newer gospy may know this release',
    });
  }

  optional(field: string): number | null {
    return this.has(field) ? (this.#fields[field] ?? null) : null;
  }

  get fields(): readonly string[] {
    return Object.keys(this.#fields);
  }
}

/** How well the table knows a release. */
export type LayoutFit =
  /** Within the releases that the table was made from, or between two of them. */
  | 'known'
  /** A later patch release of a minor that the table has. */
  | 'newer-patch'
  /** A release that the table does not have: the program's debug information told. */
  | 'debug-info'
  /** A minor release that the table does not have: the nearest one was taken. */
  | 'other-minor';

/** Looks struct types up in a program's debug information: those of the names that it has. */
export type DebugInfo = (names: ReadonlySet<string>) => ReadonlyMap<string, StructLayout>;

/** Of a program that has none. */
export const NO_DEBUG_INFO: DebugInfo = () => new Map();

interface Entry {
  readonly from: string;
  readonly to: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, number>>;
}

const OLDEST_MINOR = 12;

/** Those without which the debug information is of no use. */
const ESSENTIAL: readonly StructName[] = ['g', 'gobuf', 'm', 'p', 'schedt', 'moduledata'];

/**
 * The layouts of all structs for one release: from the table, and for a release that it does not have from the program's
 * debug information, where there is any.
 */
export class Layouts {
  readonly version: GoVersion;
  readonly fit: LayoutFit;
  /** What was taken from the debug information, by name. */
  readonly debugInfo: ReadonlyMap<string, StructLayout>;
  readonly #structs = new Map<StructName, Layout>();

  constructor(version: GoVersion, debugInfo: DebugInfo) {
    const structs = Object.keys(table) as StructName[];
    const fit = fitOf(version);
    const told = fit === 'known' ? NO_STRUCTS : debugInfo(new Set(structs.map(nameOf)));
    this.version = version;
    this.debugInfo = ESSENTIAL.every((struct) => told.has(nameOf(struct))) ? told : NO_STRUCTS;
    this.fit = this.debugInfo.size > 0 ? 'debug-info' : fit;
    for (const struct of structs) {
      const own = this.debugInfo.get(nameOf(struct));
      const { size, fields } = nearest(entriesOf(struct), version);
      this.#structs.set(struct, new Layout(struct, own?.sizeBytes ?? size, own?.fields ?? fields));
    }
  }

  of(struct: StructName): Layout {
    const layout = this.#structs.get(struct);
    if (layout === undefined) throw new RangeError(`no layout of ${struct}`);
    return layout;
  }
}

/** Every layout of a struct that some release has, the newest first: what is tried while the release is not known. */
export function layoutsOf(struct: StructName): readonly Layout[] {
  return entriesOf(struct)
    .map((entry) => new Layout(struct, entry.size, entry.fields))
    .reverse();
}

const NO_STRUCTS: ReadonlyMap<string, StructLayout> = new Map();

function nameOf(struct: StructName): string {
  return `runtime.${struct}`;
}

function entriesOf(struct: StructName): readonly Entry[] {
  return table[struct] as readonly unknown[] as readonly Entry[];
}

function versionOf(text: string): GoVersion {
  const parsed = parseGoVersion(`go${text}`);
  if (parsed === null) throw new RangeError(`layouts.json: ${text} is no Go version`);
  return parsed;
}

function fitOf(version: GoVersion): LayoutFit {
  const known = (Object.keys(table) as StructName[])
    .flatMap(entriesOf)
    .map((entry) => versionOf(entry.to))
    .sort(compareGoVersions);
  const newest = known.at(-1);
  if (newest === undefined || version.minor > newest.minor || version.minor < OLDEST_MINOR) return 'other-minor';
  const ofMinor = known.findLast((v) => v.minor === version.minor);
  return ofMinor !== undefined && compareGoVersions(version, ofMinor) > 0 ? 'newer-patch' : 'known';
}

/** The last entry that begins at or before the release, or that begins within its minor; else the first. */
function nearest(list: readonly Entry[], wanted: GoVersion): Entry {
  let [best] = list;
  for (const entry of list) {
    const from = versionOf(entry.from);
    const sameMinor = from.minor === wanted.minor && (best === undefined || versionOf(best.to).minor < wanted.minor);
    if (compareGoVersions(from, wanted) <= 0 || sameMinor) best = entry;
  }
  if (best === undefined) throw new RangeError('layouts.json: a struct without entries');
  return best;
}
