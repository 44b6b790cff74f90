import type { Addr } from '../../snapshots/address.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import type { Memory, Range } from '../../snapshots/memory.js';
import { findBuildInfo } from '../binary/build-info.js';
import { FunctionTable, type NameGiver } from '../binary/function-table.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import { findPclntabs, type PclntabHeader } from '../binary/pclntab.js';
import { versionFromCode, versionFromData } from './build-version.js';
import { findModuleData, moduleDataAt, readModuleData } from './find-module-data.js';
import { guessRelease } from './guess-release.js';
import { Layouts, type DebugInfo } from './layouts.js';
import { PCLNTAB_FORMATS, releaseOf } from './releases.js';
import { namesFor } from './removed-names.js';
import type { ModuleData } from '../binary/module-data.js';

/** The Go code of a process: one module, and one more for each loaded plugin (moduledata.next). */
export interface GoCode {
  readonly version: GoVersion;
  /** Where the version was read: in the build-info blob, or in runtime.buildVersion. Else it is a guess. */
  readonly versionFrom: 'build info' | 'runtime.buildVersion' | 'what fits';
  /** Module information from the build-info blob; empty where the program has none. */
  readonly modInfo: string;
  /** First the module that holds the runtime, then the others. */
  readonly modules: readonly FunctionTable[];
}

/** No Go runtime was found. */
export interface NotFound {
  /** What the search came across, for the error message. */
  readonly tried: readonly string[];
  /** The release that built the program, if its build info could be read. */
  readonly release: GoVersion | null;
  /** True if a function table was found that nothing points to, as in a program that is being loaded. */
  readonly hasTable: boolean;
}

const MAX_MODULES = 1024;
/** Headers with an unknown first word that are looked at in one file. */
const MAX_ALTERED = 16;

/** Finds the Go runtime of a process without any symbol table: function table, moduledata, version. */
export function locateModules(image: ProcessImage, debugInfo: DebugInfo): GoCode | NotFound {
  const search: Search = { image, debugInfo, tried: [], release: null, hasTable: false };
  for (const { name, mappings } of candidateFiles(image)) {
    const found = locateIn(search, mappings, name);
    if (found !== null) return found;
  }
  const { tried, release, hasTable } = search;
  return { tried, release, hasTable };
}

interface Search {
  readonly image: ProcessImage;
  readonly debugInfo: DebugInfo;
  readonly tried: string[];
  release: GoVersion | null;
  hasTable: boolean;
}

function locateIn(search: Search, mappings: readonly Mapping[], name: string): GoCode | null {
  const { image, tried } = search;
  const data = rangesOf(mappings, ['writable', 'read-only']);
  const anywhere = rangesOf(mappings, ['read-only', 'writable', 'code']);
  const altered: PclntabHeader[] = [];
  for (const header of findPclntabs(image.memory, anywhere, PCLNTAB_FORMATS)) {
    if (header.altered) {
      if (altered.length < MAX_ALTERED) altered.push(header);
      continue;
    }
    const code = codeOf(search, data, header, name);
    if (code !== null) return code;
  }
  for (const header of altered) {
    const code = codeOf(search, data, header, name);
    if (code !== null) return code;
  }
  if (tried.length === 0) tried.push(`${name}: no Go function table`);
  return null;
}

/** The Go code that a function table belongs to; null, and why in `search`, where nothing in `data` fits it. */
function codeOf(search: Search, data: readonly Range[], header: PclntabHeader, name: string): GoCode | null {
  const { image, debugInfo, tried } = search;
  const { memory } = image;
  const info = findBuildInfo(memory, data);
  const told = info === null ? null : parseGoVersion(info.goVersion);
  const prefer = told === null ? null : new Layouts(told, debugInfo).of('moduledata');
  const found = findModuleData(memory, data, header, prefer);
  if (found === null) {
    if (header.altered) return null;
    search.hasTable = true;
    tried.push(`${name}: a function table, but no moduledata that points to it and fits a known layout`);
    search.release ??= told;
    return null;
  }
  const read = told ?? versionFromCode(image, found) ?? (info === null ? versionFromData(memory, found) : null);
  const own = read === null ? null : moduleOf(memory, found, read, debugInfo);
  const guess = own === null ? guessRelease(image, found) : null;
  const version = guess?.version ?? read;
  if (version === null) {
    tried.push(`${name}: neither build info nor runtime.buildVersion has the Go version, and no known release fits`);
    return null;
  }
  const first = new FunctionTable(memory, guess?.module ?? own ?? found);
  return {
    version,
    versionFrom: guess !== null ? 'what fits' : told === null ? 'runtime.buildVersion' : 'build info',
    modInfo: info?.modInfo ?? '',
    modules: followChain(memory, first.module, namesFor(first, releaseOf(version))),
  };
}

/** Reads a moduledata with the layout of a release; null if the release is known and the program cannot be one of it. */
function moduleOf(memory: Memory, found: ModuleData, version: GoVersion, debugInfo: DebugInfo): ModuleData | null {
  const { addr, pclntab } = found;
  const layouts = new Layouts(version, debugInfo);
  const isFormat = !pclntab.altered || layouts.release.pclntab.func === pclntab.format.func;
  const own = isFormat ? moduleDataAt(memory, addr, pclntab, layouts.of('moduledata'), true) : null;
  return own ?? (layouts.fit === 'other-minor' ? found : null);
}

/**
 * Groups of mappings that may hold the runtime: each mapped file, the main program first; then anonymous memory with code
 * in it, where an executable packer puts the program; and all other anonymous memory where the image names no files.
 */
function* candidateFiles(image: ProcessImage): Iterable<{ name: string; mappings: Mapping[] }> {
  const byPath = new Map<string, Mapping[]>([[image.executable.path, []]]);
  let previous: Mapping | null = null;
  for (const mapping of image.mappings) {
    const adjoins = previous !== null && previous.end === mapping.start && mapping.path === '';
    const path: string = mapping.path === '' && adjoins ? (previous?.path ?? '') : mapping.path;
    if (path !== '' && !path.startsWith('[')) {
      const list = byPath.get(path) ?? [];
      list.push(mapping);
      byPath.set(path, list);
      previous = { ...mapping, path };
    } else {
      previous = null;
    }
  }
  for (const [name, mappings] of byPath) if (mappings.length > 0) yield { name, mappings };
  const groups = neighbours(image.mappings.filter((m) => m.path === ''));
  const withCode = groups.filter((group) => group.some(isCode));
  const others = byPath.size <= 1 ? groups.filter((group) => !group.some(isCode)) : [];
  for (const mappings of [...withCode, ...others]) yield { name: 'anonymous memory', mappings };
}

/** Largest gap between two segments of one program, in bytes: linkers align them to 2 MB at most. */
const MAX_SEGMENT_GAP = 2 ** 21;

function neighbours(mappings: readonly Mapping[]): Mapping[][] {
  const groups: Mapping[][] = [];
  for (const mapping of mappings) {
    const group = groups.at(-1);
    const end = group?.at(-1)?.end ?? -Infinity;
    if (group !== undefined && mapping.start - end <= MAX_SEGMENT_GAP) group.push(mapping);
    else groups.push([mapping]);
  }
  return groups;
}

function isCode({ executable }: Mapping): boolean {
  return executable;
}

type Kind = 'read-only' | 'writable' | 'code';

/** Readable mappings of the given kinds, in that order. Some linkers put read-only data into the code segment. */
function rangesOf(mappings: readonly Mapping[], kinds: readonly Kind[]): Range[] {
  const kindOf = (m: Mapping): Kind => (m.executable ? 'code' : m.writable ? 'writable' : 'read-only');
  return kinds.flatMap((kind) =>
    mappings.filter((m) => m.readable && kindOf(m) === kind).map((m) => ({ lo: m.start, hi: m.end })),
  );
}

function followChain(memory: Memory, first: ModuleData, nameGiver: NameGiver | null): FunctionTable[] {
  const tables = [new FunctionTable(memory, first, nameGiver)];
  const seen = new Set<Addr>([first.addr]);
  for (let at = first.next; at !== 0 && !seen.has(at) && tables.length < MAX_MODULES;) {
    seen.add(at);
    const next = nextModule(memory, at, first);
    if (next === null) break;
    tables.push(new FunctionTable(memory, next, nameGiver));
    at = next.next;
  }
  return tables;
}

function nextModule(memory: Memory, at: Addr, first: ModuleData): ModuleData | null {
  if (!memory.has(at, first.layout.sizeBytes)) return null;
  const pclntab = memory.ptr(at);
  const range = { lo: pclntab, hi: (pclntab + 16) as Addr };
  for (const header of findPclntabs(memory, [range], [...PCLNTAB_FORMATS, first.pclntab.format])) {
    if (header.addr === pclntab) return readModuleData(memory, at, header, first.layout);
  }
  return null;
}
