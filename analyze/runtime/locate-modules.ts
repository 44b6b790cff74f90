import { NIL, type Addr } from '../../snapshots/address.js';
import type { Executable, Mapping, ProcessImage } from '../../snapshots/image.js';
import type { Memory, Range } from '../../snapshots/memory.js';
import { findBuildInfo } from '../binary/build-info.js';
import { FunctionTable, type NameGiver } from '../binary/function-table.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import { anonymousLoads, buildIdsOf, loadsOf, mayRun, type Load } from '../binary/loads.js';
import { findPclntabs, type PclntabHeader } from '../binary/pclntab.js';
import { versionFromCode, versionFromData } from './build-version.js';
import { findModuleData, moduleDataAt, readModuleData } from './find-module-data.js';
import { guessRelease } from './guess-release.js';
import { Layouts, type DebugInfo } from './layouts.js';
import { mayHoldModule } from './module-shape.js';
import { PCLNTAB_FORMATS, releaseOf } from './releases.js';
import { namesFor } from './removed-names.js';
import type { ModuleData } from '../binary/module-data.js';

/** A file that has a Go runtime in it. */
export interface RuntimeFile extends Pick<Executable, 'buildId' | 'goBuildId'> {
  /** As the process saw it. For a program in anonymous memory, where a packer has put it, the process's executable. */
  readonly path: string;
}

/** The Go code that belongs to one runtime: one module, and one more for each loaded plugin (moduledata.next). */
export interface GoCode {
  readonly version: GoVersion;
  /** Where the version was read: in the build-info blob, or in runtime.buildVersion. Else it is a guess. */
  readonly versionFrom: 'build info' | 'runtime.buildVersion' | 'what fits';
  /** Module information from the build-info blob; empty where the program has none. */
  readonly modInfo: string;
  /** First the module that holds the runtime, then the others. */
  readonly modules: readonly FunctionTable[];
}

/** A Go runtime in a process. */
export interface LocatedRuntime {
  readonly file: RuntimeFile;
  readonly code: GoCode;
}

/** What a search for Go runtimes found. */
export interface Search {
  readonly image: ProcessImage;
  readonly debugInfo: DebugInfo;
  /** What the search came across in files without a runtime, for the error message. */
  readonly tried: string[];
  /** The release that built a program that was not made out, if its build info could be read. */
  release: GoVersion | null;
  /** True if a function table was found that nothing points to, as in a program that is being loaded. */
  hasTable: boolean;
  /** Those in the process's executable first, then by address. */
  readonly runtimes: LocatedRuntime[];
  /** Files whose data names a function table that was not found, such as one that a core lacks. */
  readonly incomplete: string[];
}

const MAX_MODULES = 1024;
/** Headers with an unknown first word that are looked at in one file. */
const MAX_ALTERED = 16;

/**
 * Finds the Go runtimes of a process without any symbol table: function table, moduledata, version. A process has several
 * if a program loads a library that was built with -buildmode=c-shared.
 */
export function locateRuntimes(image: ProcessImage, debugInfo: DebugInfo): Search {
  const search: Search = { image, debugInfo, tried: [], release: null, hasTable: false, runtimes: [], incomplete: [] };
  const loads = loadsOf(image);
  const likely = loads.filter((load, i) => i === 0 || (mayRun(image, load) && mayHoldModule(image.memory, load)));
  const notFound = likely.filter((load) => !addRuntime(search, load) && mayHoldModule(image.memory, load));
  if (search.runtimes.length > 0) {
    const incomplete = notFound.filter((load) => !isChained(search.runtimes, load)).map(({ path }) => path);
    return { ...search, runtimes: withoutPlugins(search.runtimes), incomplete };
  }
  const { withCode, others } = anonymousLoads(image);
  const unlikely = loads.filter((load) => !likely.includes(load));
  for (const load of [...unlikely, ...withCode, ...(loads.length <= 1 ? others : [])]) {
    if (search.runtimes.length === 0) addRuntime(search, load);
  }
  return search;
}

/** Returns whether there is one. */
function addRuntime(search: Search, load: Load): boolean {
  const { image } = search;
  const { executable } = image;
  const code = locateIn(search, load.mappings, load.path === '' ? 'anonymous memory' : load.path);
  if (code === null) return false;
  const isMain = load.path === '' || load.path === executable.path;
  const { buildId, goBuildId } = isMain ? executable : buildIdsOf(image, load);
  search.runtimes.push({ file: { path: isMain ? executable.path : load.path, buildId, goBuildId }, code });
  return true;
}

/** True for a plugin, whose moduledata is in the chain of the program that loaded it. */
function isChained(runtimes: readonly LocatedRuntime[], { mappings }: Load): boolean {
  const chained = runtimes.flatMap(({ code }) => code.modules.flatMap(({ module }) => [module.addr, module.next]));
  return mappings.some(({ start, end }) => chained.some((addr) => addr >= start && addr < end));
}

/** A plugin has a moduledata of its own, which is in the chain of the program that loaded it. */
function withoutPlugins(runtimes: readonly LocatedRuntime[]): LocatedRuntime[] {
  const first = ({ code }: LocatedRuntime): Addr | undefined => code.modules[0]?.module.addr;
  const chained = new Set(runtimes.flatMap(({ code }) => code.modules.slice(1).map(({ module }) => module.addr)));
  return runtimes.filter((runtime) => !chained.has(first(runtime) ?? NIL));
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
