import { unsupported } from '../../snapshots/errors.js';
import type { StructLayout } from '../../snapshots/image.js';
import { compareGoVersions, type GoVersion } from '../binary/go-version.js';
import table from './layouts.json' with { type: 'json' };
import { NEWEST, OLDEST, releaseOf, versionOf, type GoRelease } from './releases.js';

/**
 * Structs of package runtime whose fields are read. layouts.json has, for ranges of releases, their sizes and field
 * offsets on amd64, from the debug information of programs and the source of every release; `npm run layouts` extends it.
 * arm64 has the same offsets and sizes, but for the size of a p from Go 1.26 on.
 */
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

  /** Offset of a field in bytes. Throws GospyError (6) where the release has no field of that name. */
  offset(field: string): number {
    const offset = this.optional(field);
    if (offset !== null) return offset;
    throw unsupported(`runtime.${this.struct} has no field ${field} in the program's Go release`, {
      hint: 'a newer gospy may know this release',
    });
  }

  /** Offset of a field, or null where the release has none of that name. */
  optional(field: string): number | null {
    return this.has(field) ? (this.#fields[field] ?? null) : null;
  }

  get fields(): readonly string[] {
    return Object.keys(this.#fields);
  }
}

/** How well the table knows a release. */
export type LayoutFit =
  /** One of the releases that the table covers. */
  | 'known'
  /** A later patch release of a minor release that the table has. */
  | 'newer-patch'
  /** Not in the table: the layouts come from the program's debug information. */
  | 'debug-info'
  /** A minor release that is not in the table: the layouts are those of the nearest one. */
  | 'other-minor';

/** Reads struct types by name from a program's debug information; leaves out those that it does not have. */
export type DebugInfo = (names: ReadonlySet<string>) => ReadonlyMap<string, StructLayout>;

/** For a program without debug information. */
export const NO_DEBUG_INFO: DebugInfo = () => new Map();

interface Entry {
  readonly from: string;
  readonly to: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, number>>;
}

/** Debug information that lacks one of these is not used. */
const ESSENTIAL: readonly StructName[] = ['g', 'gobuf', 'm', 'p', 'schedt', 'moduledata'];

/**
 * The layouts of all structs in one release, from the table. For a release that is not in it, from the program's debug
 * information if there is any, else those of the nearest release.
 */
export class Layouts {
  readonly version: GoVersion;
  /** What else differs between releases. */
  readonly release: GoRelease;
  readonly fit: LayoutFit;
  /** The structs that the debug information gave, by name; empty where the table was used. */
  readonly debugInfo: ReadonlyMap<string, StructLayout>;
  readonly #structs = new Map<StructName, Layout>();

  constructor(version: GoVersion, debugInfo: DebugInfo) {
    const structs = Object.keys(table) as StructName[];
    const fit = fitOf(version);
    const found = fit === 'known' ? NO_STRUCTS : debugInfo(new Set(structs.map(nameOf)));
    this.version = version;
    this.release = releaseOf(version);
    this.debugInfo = ESSENTIAL.every((struct) => found.has(nameOf(struct))) ? found : NO_STRUCTS;
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

/** All layouts that a struct has had, newest first: candidates while the release is not known. */
export function layoutsOf(struct: StructName): readonly Layout[] {
  return entriesOf(struct)
    .map((entry) => new Layout(struct, entry.size, entry.fields))
    .reverse();
}

/** The releases at which some layout changed, newest first: candidates while the release is not known. */
export const LAYOUT_STARTS: readonly GoVersion[] = [
  ...new Set((Object.keys(table) as StructName[]).flatMap((struct) => entriesOf(struct).map(({ from }) => from))),
]
  .map(versionOf)
  .sort(compareGoVersions)
  .reverse();

const NO_STRUCTS: ReadonlyMap<string, StructLayout> = new Map();

function nameOf(struct: StructName): string {
  return `runtime.${struct}`;
}

function entriesOf(struct: StructName): readonly Entry[] {
  return table[struct] as readonly unknown[] as readonly Entry[];
}

function fitOf(version: GoVersion): LayoutFit {
  if (version.minor > NEWEST.minor || version.minor < OLDEST.minor) return 'other-minor';
  const known = (Object.keys(table) as StructName[])
    .flatMap(entriesOf)
    .map((entry) => versionOf(entry.to))
    .sort(compareGoVersions);
  const ofMinor = known.findLast((v) => v.minor === version.minor);
  return ofMinor !== undefined && compareGoVersions(version, ofMinor) > 0 ? 'newer-patch' : 'known';
}

/** The last entry that starts at or before the release, else the first one of its minor release, else the first. */
function nearest(list: readonly Entry[], wanted: GoVersion): Entry {
  let [best] = list;
  for (const entry of list) {
    const from = versionOf(entry.from);
    const sameMinor = from.minor === wanted.minor && (best === undefined || versionOf(best.to).minor < wanted.minor);
    if (compareGoVersions(from, wanted) <= 0 || sameMinor) best = entry;
  }
  if (best === undefined) throw new RangeError('layouts.json: a struct has no entries');
  return best;
}
