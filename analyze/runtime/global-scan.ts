import type { Addr } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import { blocks } from '../binary/scan.js';
import type { GlobalChecks } from './global-checks.js';
import type { Located } from './globals.js';
import type { ModuleData } from '../binary/module-data.js';

/** Candidates that a search may follow up; past it the program's data is not what it seems. */
const MAX_CANDIDATES = 4096;

const MAX_LIST = 2 ** 27;

/**
 * Finds the globals by their shape in a module's data, needing no function names: the second way, where the first
 * fails.
 */
export function scanForGlobals(
  memory: Memory,
  module: ModuleData,
  checks: GlobalChecks,
): Partial<Record<Located, Addr>> {
  const out: Partial<Record<Located, Addr>> = {};
  const lists = sliceHeaders(memory, module);
  const longest = (measure: (a: Addr) => number): Addr | undefined => {
    let best: { at: Addr; length: number } | undefined;
    for (const at of lists) {
      const length = measure(at);
      if (length > (best?.length ?? 0)) best = { at, length };
    }
    return best?.at;
  };
  const allgs = longest((a) => checks.allgs(a));
  const allp = longest((a) => {
    const length = checks.allp(a);
    return length > 0 && checks.namesMachines(a) ? length : 0;
  });
  if (allgs !== undefined) out.allgs = allgs;
  if (allp !== undefined) out.allp = allp;
  const pair = staticPair(memory, module, checks);
  if (pair !== null) {
    out.g0 = pair.g0;
    const allm = listHead(memory, module, checks, pair.m0);
    if (allm !== null) out.allm = allm;
  }
  const sched = schedAt(memory, module, checks);
  if (sched !== null) out.sched = sched;
  return out;
}

/** Addresses in the module's data where a pointer, a length and a capacity no smaller stand in a row. */
function sliceHeaders(memory: Memory, module: ModuleData): Addr[] {
  const found: Addr[] = [];
  for (const { at, bytes } of blocks(memory, module.data, 24)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 24 <= bytes.length && found.length < MAX_CANDIDATES; i += 8) {
      const length = view.getUint32(i + 8, true);
      if (length === 0 || length > MAX_LIST || view.getUint32(i + 12, true) !== 0) continue;
      const capacity = view.getUint32(i + 16, true);
      if (capacity < length || capacity > MAX_LIST || view.getUint32(i + 20, true) !== 0) continue;
      const data = view.getUint32(i + 4, true) * 2 ** 32 + view.getUint32(i, true);
      if (data > 4096 && data % 8 === 0 && memory.unrecorded.source.window(data) !== null) found.push((at + i) as Addr);
    }
  }
  return found;
}

/** m0 and g0: both static, each naming the other. */
function staticPair(memory: Memory, module: ModuleData, checks: GlobalChecks): { m0: Addr; g0: Addr } | null {
  for (const { at, target } of internalPointers(memory, module)) {
    if (checks.machineOf(target) === at) return { m0: at, g0: target };
  }
  return null;
}

/** The static pointer from which the longest list of Ms leads to m0. */
function listHead(memory: Memory, module: ModuleData, checks: GlobalChecks, m0: Addr): Addr | null {
  let best: { at: Addr; length: number } | null = null;
  for (const { at, target } of pointers(memory, module)) {
    const offset = checks.alllink(at, m0);
    if (offset === null) continue;
    const length = checks.chainLength(target, m0, offset);
    if (length > (best?.length ?? 0)) best = { at, length };
  }
  return best?.at ?? null;
}

function schedAt(memory: Memory, module: ModuleData, checks: GlobalChecks): Addr | null {
  const needle = 10_000;
  const offset = checks.maxmcountOffset;
  for (const { at, bytes } of blocks(memory, module.data, 4)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (4 - (at % 4)) % 4; i + 4 <= bytes.length; i += 4) {
      if (view.getUint32(i, true) !== needle) continue;
      const candidate = (at + i - offset) as Addr;
      if (candidate % 8 === 0 && checks.sched(candidate)) return candidate;
    }
  }
  return null;
}

function* internalPointers(memory: Memory, module: ModuleData): Iterable<{ at: Addr; target: Addr }> {
  for (const pointer of pointers(memory, module)) {
    if (module.data.some(({ lo, hi }) => pointer.target >= lo && pointer.target < hi)) yield pointer;
  }
}

function* pointers(memory: Memory, module: ModuleData): Iterable<{ at: Addr; target: Addr }> {
  for (const { at, bytes } of blocks(memory, module.data, 8)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 8 <= bytes.length; i += 8) {
      const target = view.getUint32(i + 4, true) * 2 ** 32 + view.getUint32(i, true);
      if (target > 4096 && target < 2 ** 48 && target % 8 === 0) yield { at: (at + i) as Addr, target: target as Addr };
    }
  }
}
