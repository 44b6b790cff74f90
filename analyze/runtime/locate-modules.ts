import { isAddr, type Addr } from '../../snapshots/address.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import { findBuildInfo, goString } from '../binary/build-info.js';
import { FunctionTable, type Func } from '../binary/function-table.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import { findPclntabs } from '../binary/pclntab.js';
import { blocks } from '../binary/scan.js';
import { dataReferences } from './code-references.js';
import { Layouts, type DebugInfo } from './layouts.js';
import { PCLNTAB_FORMATS } from './releases.js';
import { findModuleData, readModuleData } from './find-module-data.js';
import type { ModuleData } from '../binary/module-data.js';

/** The Go code of a process: one module, and one more for each loaded plugin (moduledata.next). */
export interface GoCode {
  readonly version: GoVersion;
  /** Where the version was read: in the build-info blob, or in runtime.buildVersion. */
  readonly versionFrom: 'build info' | 'runtime.buildVersion';
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
  const anywhere = rangesOf(mappings, ['read-only', 'writable', 'code']);
  for (const header of findPclntabs(memory, anywhere, PCLNTAB_FORMATS)) {
    const info = findBuildInfo(memory, data);
    const known = info === null ? null : parseGoVersion(info.goVersion);
    const layout = known === null ? null : new Layouts(known, debugInfo).of('moduledata');
    const module = findModuleData(memory, data, header, layout);
    if (module === null) {
      tried.push(`${name}: a function table, but no moduledata that points to it and fits a known layout`);
      search.release ??= known;
      continue;
    }
    const version = known ?? versionFromCode(image, module) ?? versionFromData(memory, module);
    if (version === null) {
      tried.push(`${name}: neither build info nor runtime.buildVersion has the Go version`);
      continue;
    }
    return {
      version,
      versionFrom: known === null ? 'runtime.buildVersion' : 'build info',
      modInfo: info?.modInfo ?? '',
      modules: followChain(memory, module),
    };
  }
  if (tried.length === 0) tried.push(`${name}: no Go function table`);
  return null;
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

function followChain(memory: Memory, first: ModuleData): FunctionTable[] {
  const tables = [new FunctionTable(memory, first)];
  const seen = new Set<Addr>([first.addr]);
  for (let at = first.next; at !== 0 && !seen.has(at) && tables.length < MAX_MODULES;) {
    seen.add(at);
    const next = nextModule(memory, at, first);
    if (next === null) break;
    tables.push(new FunctionTable(memory, next));
    at = next.next;
  }
  return tables;
}

function nextModule(memory: Memory, at: Addr, first: ModuleData): ModuleData | null {
  if (!memory.has(at, first.layout.sizeBytes)) return null;
  const pclntab = memory.ptr(at);
  const range = { lo: pclntab, hi: (pclntab + 16) as Addr };
  for (const header of findPclntabs(memory, [range], PCLNTAB_FORMATS)) {
    if (header.addr === pclntab) return readModuleData(memory, at, header, first.layout);
  }
  return null;
}

/** Reads runtime.buildVersion, which schedinit refers to in order to keep it in the binary (proc.go). */
function versionFromCode(image: ProcessImage, module: ModuleData): GoVersion | null {
  const { memory, arch } = image;
  const schedinit = runtimeFunctions(memory, new FunctionTable(memory, module), ['schedinit']).get('schedinit');
  if (schedinit === undefined) return null;
  return onFault(
    () => {
      for (const at of dataReferences(memory, arch, schedinit, module.data)) {
        const version = parseVersionAt(memory, at);
        if (version !== null) return version;
      }
      return null;
    },
    () => null,
  );
}

/** The first string in the module's data that is a Go version: runtime.buildVersion. */
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

/** Bytes of a version: `go1.12` at least; development trees add a commit, a date and experiments. */
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
 * Finds functions of package runtime by name, without the `runtime.`. Where the image has little code, as in a snapshot,
 * only functions whose code it has are found. Functions after a damaged part of the table may be missing.
 */
export function runtimeFunctions(memory: Memory, table: FunctionTable, names: readonly string[]): Map<string, Func> {
  const wanted = new Set(names.map((n) => `runtime.${n}`));
  const { text, etext } = table.module;
  const present = [...memory.ranges(text, etext)];
  const bytes = present.reduce((sum, { lo, hi }) => sum + hi - lo, 0);
  const found = new Map<string, Func>();
  onFault(
    () => {
      const funcs = bytes * 4 < etext - text ? functionsWithin(table, present) : table.named(wanted).values();
      for (const func of funcs) if (wanted.has(func.name) && !found.has(func.name)) found.set(func.name, func);
    },
    () => undefined,
  );
  return new Map([...found].map(([name, func]) => [name.slice('runtime.'.length), func]));
}

function* functionsWithin(table: FunctionTable, ranges: readonly Range[]): Iterable<Func> {
  for (const { lo, hi } of ranges) {
    for (let func = table.find(lo); func !== null && func.entry < hi;) {
      yield func;
      const next = table.find(func.end);
      if (next === null || next.index <= func.index) break;
      func = next;
    }
  }
}
