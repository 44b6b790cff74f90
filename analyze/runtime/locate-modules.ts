import { isAddr, type Addr } from '../../snapshots/address.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import { MemoryFault, type Memory, type Range } from '../../snapshots/memory.js';
import { findBuildInfo, goString } from '../binary/build-info.js';
import { FunctionTable, type Func } from '../binary/function-table.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import { findPclntabs } from '../binary/pclntab.js';
import { blocks } from '../binary/scan.js';
import { dataReferences } from './code-references.js';
import { Layouts, type DebugInfo } from './layouts.js';
import { findModuleData, readModuleData } from './find-module-data.js';
import type { ModuleData } from '../binary/module-data.js';

/** The Go code of a process: one module, or several where plugins were loaded (moduledata.next). */
export interface GoCode {
  readonly version: GoVersion;
  /** Where the version was read: the build-info blob, or runtime.buildVersion, by the code of schedinit or its words. */
  readonly versionFrom: 'build info' | 'runtime.buildVersion';
  /** Module information of the build-info blob; empty where that was removed. */
  readonly modInfo: string;
  /** The module that holds the runtime, first; then those that `next` names. */
  readonly modules: readonly FunctionTable[];
}

/** Why no Go runtime was found: how far the search came, for the error message. */
export interface NotFound {
  readonly tried: readonly string[];
  /** The release by which the program says that it was built, where it says so. */
  readonly release: GoVersion | null;
}

const MAX_MODULES = 1024;

/** Finds the Go runtime of a process without any symbol table: function table, moduledata, version. */
export function locateModules(image: ProcessImage, debugInfo: DebugInfo): GoCode | NotFound {
  const search: Search = { image, debugInfo, tried: [], release: null };
  for (const { name, mappings } of candidateFiles(image)) {
    const found = locateIn(search, mappings, name);
    if (found !== null) return found;
  }
  const { tried, release } = search;
  return { tried, release };
}

interface Search {
  readonly image: ProcessImage;
  readonly debugInfo: DebugInfo;
  readonly tried: string[];
  release: GoVersion | null;
}

function locateIn(search: Search, mappings: readonly Mapping[], name: string): GoCode | null {
  const { image, debugInfo, tried } = search;
  const { memory } = image;
  const data = rangesOf(mappings, ['writable', 'read-only']);
  for (const header of findPclntabs(memory, rangesOf(mappings, ['read-only', 'writable', 'code']))) {
    const info = findBuildInfo(memory, data);
    const known = info === null ? null : parseGoVersion(info.goVersion);
    const layout = known === null ? null : new Layouts(known, debugInfo).of('moduledata');
    const module = findModuleData(memory, data, header, layout);
    if (module === null) {
      tried.push(`${name}: a function table without a moduledata that points to it and fits a known layout`);
      search.release ??= known;
      continue;
    }
    const version = known ?? versionFromCode(image, module) ?? versionFromData(memory, module);
    if (version === null) {
      tried.push(`${name}: neither build info nor runtime.buildVersion tell the Go version`);
      continue;
    }
    return {
      version,
      versionFrom: known === null ? 'runtime.buildVersion' : 'build info',
      modInfo: info?.modInfo ?? '',
      modules: chain(memory, module, version),
    };
  }
  if (tried.length === 0) tried.push(`${name}: no Go function table`);
  return null;
}

/**
 * Mapped files, the main program first; then memory without a file: what has code in it, where an executable packer puts
 * the program, and where files are not known the rest too.
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

/** How far apart the segments of one program may lie: linkers align them to 2 MB at most. */
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

/** Readable mappings of the given kinds, in that order: some linkers put read-only data into the code segment. */
function rangesOf(mappings: readonly Mapping[], kinds: readonly Kind[]): Range[] {
  const kindOf = (m: Mapping): Kind => (m.executable ? 'code' : m.writable ? 'writable' : 'read-only');
  return kinds.flatMap((kind) =>
    mappings.filter((m) => m.readable && kindOf(m) === kind).map((m) => ({ lo: m.start, hi: m.end })),
  );
}

function chain(memory: Memory, first: ModuleData, version: GoVersion): FunctionTable[] {
  const tables = [new FunctionTable(memory, first, version.minor)];
  const seen = new Set<Addr>([first.addr]);
  for (let at = first.next; at !== 0 && !seen.has(at) && tables.length < MAX_MODULES;) {
    seen.add(at);
    const next = nextModule(memory, at, first);
    if (next === null) break;
    tables.push(new FunctionTable(memory, next, version.minor));
    at = next.next;
  }
  return tables;
}

function nextModule(memory: Memory, at: Addr, first: ModuleData): ModuleData | null {
  if (!memory.has(at, first.layout.sizeBytes)) return null;
  const pclntab = memory.ptr(at);
  const range = { lo: pclntab, hi: (pclntab + 16) as Addr };
  for (const header of findPclntabs(memory, [range])) {
    if (header.addr === pclntab) return readModuleData(memory, at, header, first.layout);
  }
  return null;
}

/** schedinit refers to runtime.buildVersion to keep it in the binary (proc.go). */
function versionFromCode(image: ProcessImage, module: ModuleData): GoVersion | null {
  const { memory, arch } = image;
  const schedinit = runtimeFunctions(memory, new FunctionTable(memory, module, 0), ['schedinit']).get('schedinit');
  if (schedinit === undefined) return null;
  try {
    for (const at of dataReferences(memory, arch, schedinit, module.data)) {
      const version = parseVersionAt(memory, at);
      if (version !== null) return version;
    }
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
  }
  return null;
}

/** The first string in the module's data that words a release: runtime.buildVersion, where schedinit does not lead there. */
function versionFromData(memory: Memory, module: ModuleData): GoVersion | null {
  for (const { at, bytes } of blocks(memory, module.data, 16)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 16 <= bytes.length; i += 8) {
      const length = view.getUint32(i + 8, true);
      if (length < MIN_VERSION || length > MAX_VERSION || view.getUint32(i + 12, true) !== 0) continue;
      const version = parseVersionAt(memory, (at + i) as Addr);
      if (version !== null) return version;
    }
  }
  return null;
}

/** Characters of a version: `go1.12` at least; development trees add a commit, a date and experiments. */
const MIN_VERSION = 6;
const MAX_VERSION = 256;

function parseVersionAt(memory: Memory, at: Addr): GoVersion | null {
  if (!memory.has(at, 16)) return null;
  const length = memory.word(at, 8);
  const data = memory.word(at);
  if (length < MIN_VERSION || length > MAX_VERSION || !isAddr(data) || !memory.has(data, length)) return null;
  const text = goString(memory, at);
  return /^(devel )?go1\.\d/.test(text) ? parseGoVersion(text) : null;
}

/**
 * Functions of package runtime by name (without the `runtime.`). Where little code is in the image, as in a snapshot,
 * only functions whose code is there are looked at. Those behind a damaged part of the table may be missing.
 */
export function runtimeFunctions(memory: Memory, table: FunctionTable, names: readonly string[]): Map<string, Func> {
  const wanted = new Set(names.map((n) => `runtime.${n}`));
  const { text, etext } = table.module;
  const present = [...memory.ranges(text, etext)];
  const bytes = present.reduce((sum, { lo, hi }) => sum + hi - lo, 0);
  const found = new Map<string, Func>();
  try {
    const funcs = bytes * 4 < etext - text ? within(table, present) : table.named(wanted).values();
    for (const func of funcs) if (wanted.has(func.name) && !found.has(func.name)) found.set(func.name, func);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
  }
  return new Map([...found].map(([name, func]) => [name.slice('runtime.'.length), func]));
}

function* within(table: FunctionTable, ranges: readonly Range[]): Iterable<Func> {
  for (const { lo, hi } of ranges) {
    for (let func = table.find(lo); func !== null && func.entry < hi;) {
      yield func;
      const next = table.find(func.end);
      if (next === null || next.index <= func.index) break;
      func = next;
    }
  }
}
