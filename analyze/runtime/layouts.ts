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

  /** Offset of a field; throws RangeError where this release has none of that name. */
  offset(field: string): number {
    const offset = this.optional(field);
    if (offset === null) throw new RangeError(`${this.struct} has no field ${field} in this Go release`);
    return offset;
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
  /** A minor release that the table does not have: the nearest one was taken. */
  | 'other-minor';

interface Entry {
  readonly from: string;
  readonly to: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, number>>;
}

const OLDEST_MINOR = 12;

/** The layouts of all structs for one release. */
export class Layouts {
  readonly version: GoVersion;
  readonly fit: LayoutFit;
  readonly #structs = new Map<StructName, Layout>();

  constructor(version: GoVersion) {
    this.version = version;
    this.fit = fitOf(version);
    for (const struct of Object.keys(table) as StructName[]) {
      const entry = nearest(entriesOf(struct), version);
      this.#structs.set(struct, new Layout(struct, entry.size, entry.fields));
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
