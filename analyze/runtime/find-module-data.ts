import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import { findWord } from '../binary/scan.js';
import type { FieldOffsets, ModuleData, Slice } from '../binary/module-data.js';
import type { PclntabHeader } from '../binary/pclntab.js';
import { layoutsOf, type Layout } from './layouts.js';

const MAX_TEXT_SECTIONS = 1024;

/**
 * Finds the moduledata of a function table: an 8-aligned word that equals the table's address, followed by fields that
 * fit together. Tries `prefer` first, then every known layout; null where none fits.
 */
export function findModuleData(
  memory: Memory,
  ranges: readonly Range[],
  pclntab: PclntabHeader,
  prefer: Layout | null,
): ModuleData | null {
  const layouts = layoutsOf('moduledata').filter((l) => l.has('funcnametab') === (pclntab.format.parts !== null));
  const order = prefer === null ? layouts : [prefer, ...layouts];
  for (const at of findWord(memory, ranges, pclntab.addr)) {
    for (const layout of order) {
      const module = moduleDataAt(memory, at, pclntab, layout, layout === prefer);
      if (module !== null) return module;
    }
  }
  return null;
}

/**
 * Reads the moduledata at an address with a layout; null where that does not fit. `certain`: the layout is that of the
 * program's release, and parts of it that are not in the image need no check.
 */
export function moduleDataAt(
  memory: Memory,
  at: Addr,
  pclntab: PclntabHeader,
  layout: Layout,
  certain = false,
): ModuleData | null {
  const module = readModuleData(memory, at, pclntab, layout);
  if (module === null || !startsAtText(memory, module, certain)) return null;
  return pclntab.altered && !hasParts(memory.unrecorded, module) ? null : module;
}

/** True where moduledata has the parts of the function table where its header says. */
function hasParts(memory: Memory, { pclntab, ...module }: ModuleData): boolean {
  const { addr, format } = pclntab;
  const { parts } = format;
  if (parts === null) return module.pclntable.data === addr && module.ftab.data === addr + 16;
  const names = ['funcnametab', 'cutab', 'filetab', 'pctab', 'pclntable'] as const;
  return onFault(
    () => names.every((name, i) => module[name].data === addr + memory.word(addr, parts + 8 * i)),
    () => false,
  );
}

/**
 * True if the first text section has offset 0 and lies at the module's text, as the linker writes it (textsectmap in
 * symtab.go). What another release's layout takes for that map does not. `otherwise` if the map is not in the image.
 */
function startsAtText(memory: Memory, { textsectmap, text }: ModuleData, otherwise: boolean): boolean {
  const { data, length } = textsectmap;
  if (length === 0) return false;
  if (!memory.has(data, 24)) return otherwise;
  return memory.word(data) === 0 && memory.word(data, 16) === text;
}

/** Reads a moduledata; null where its fields do not fit together. */
export function readModuleData(
  memory: Memory,
  at: Addr,
  pclntab: PclntabHeader,
  layout: FieldOffsets,
): ModuleData | null {
  return onFault(
    () => readChecked(memory, at, pclntab, layout),
    () => null,
  );
}

function readChecked(memory: Memory, at: Addr, pclntab: PclntabHeader, layout: FieldOffsets): ModuleData | null {
  const word = (field: string): Addr => memory.ptr(at, layout.offset(field));
  const slice = (field: string): Slice => {
    const offset = layout.offset(field);
    return { data: memory.ptr(at, offset), length: memory.word(at, offset + 8) };
  };
  const ftab = slice('ftab');
  const pclntable = slice('pclntable');
  const [minpc, maxpc, text, etext] = [word('minpc'), word('maxpc'), word('text'), word('etext')];
  if (ftab.length !== pclntab.nfunc + 1) return null;
  if (!(text <= minpc && minpc < maxpc && maxpc <= etext)) return null;
  const data: Range[] = [];
  for (const section of ['noptrdata', 'data', 'bss', 'noptrbss']) {
    const lo = word(section);
    const hi = word(`e${section}`);
    if (lo > hi) return null;
    if (lo < hi) data.push({ lo, hi });
  }
  const types = { lo: word('types'), hi: word('etypes') };
  if (data.length === 0 || types.lo > types.hi) return null;
  const textsectmap = slice('textsectmap');
  if (textsectmap.length > MAX_TEXT_SECTIONS) return null;
  const inPclntable = pclntab.format.parts === null;
  return {
    addr: at,
    pclntab,
    layout,
    ftab,
    pclntable,
    funcnametab: inPclntable ? pclntable : slice('funcnametab'),
    cutab: inPclntable ? { data: pclntable.data, length: 0 } : slice('cutab'),
    filetab: slice('filetab'),
    pctab: inPclntable ? pclntable : slice('pctab'),
    minpc,
    maxpc,
    text,
    etext,
    gofunc: layout.has('gofunc') ? word('gofunc') : null,
    textsectmap,
    types,
    data,
    next: word('next'),
  };
}

/** The whole function table, from its header to the end of its last part. */
export function pclntabRange(module: ModuleData): Range {
  const parts = [module.pclntable, module.funcnametab, module.filetab, module.pctab];
  const hi = Math.max(...parts.map((p) => p.data + p.length), module.ftab.data + module.ftab.length * 8);
  return { lo: module.pclntab.addr, hi: plus(module.pclntab.addr, hi - module.pclntab.addr) };
}
