import { plus, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';
import type { ModuleData } from '../binary/module-data.js';
import { blocks } from '../binary/scan.js';
import type { GlobalChecks } from './global-checks.js';

/** The globals without which nothing can be read. */
export type Located = 'allgs' | 'allp' | 'allm' | 'sched' | 'g0';

/** Slice headers to check at most: large programs have some tens of thousands in their data. */
const MAX_CANDIDATES = 1 << 20;
const MAX_LIST = 2 ** 27;
const LOWEST = 4096;
const HIGHEST = 2 ** 48;
/** sched.maxmcount after schedinit (proc.go), unless debug.SetMaxThreads changed it. */
export const MAXMCOUNT = 10_000;

/** Finds the globals by their shape in a module's data, without function names: for programs where code does not help. */
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
  const sched = findSched(memory, module, checks);
  if (sched !== null) out.sched = sched;
  return out;
}

/** Addresses in the module's data of a pointer, a length and a capacity that is not smaller, in a row. */
export function sliceHeaders(memory: Memory, module: ModuleData): Addr[] {
  const found: Addr[] = [];
  for (const { at, bytes } of blocks(memory, module.data, 24)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 24 <= bytes.length && found.length < MAX_CANDIDATES; i += 8) {
      const length = wordAt(view, i + 8);
      if (length === 0 || length > MAX_LIST) continue;
      const capacity = wordAt(view, i + 16);
      if (capacity < length || capacity > MAX_LIST) continue;
      const data = wordAt(view, i);
      if (data > LOWEST && data % 8 === 0 && memory.unrecorded.source.window(data) !== null)
        found.push((at + i) as Addr);
    }
  }
  return found;
}

/** m0 and g0, two static structs that point at each other. */
function staticPair(memory: Memory, module: ModuleData, checks: GlobalChecks): { m0: Addr; g0: Addr } | null {
  for (const { at, target } of pointers(memory, module)) {
    const isStatic = module.data.some(({ lo, hi }) => target >= lo && target < hi);
    if (isStatic && checks.machineOf(target) === at) return { m0: at, g0: target };
  }
  return null;
}

/** The static pointer that begins the longest list of Ms that ends at m0. */
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

function findSched(memory: Memory, module: ModuleData, checks: GlobalChecks): Addr | null {
  const offset = checks.maxmcountOffset;
  for (const { at, bytes } of blocks(memory, module.data, 4)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (4 - (at % 4)) % 4; i + 4 <= bytes.length; i += 4) {
      if (view.getUint32(i, true) !== MAXMCOUNT) continue;
      const candidate = (at + i - offset) as Addr;
      if (candidate % 8 === 0 && checks.sched(candidate)) return candidate;
    }
  }
  return null;
}

/** The first wait reasons of every release: waitReasonStrings (runtime2.go). */
const FIRST_REASONS = ['', 'GC assist marking', 'IO wait'] as const;

/** Finds waitReasonStrings, an array of strings, by its first ones; null where it is not in the image. */
export function findWaitReasons(memory: Memory, module: ModuleData): Addr | null {
  for (const { at, bytes } of blocks(memory, module.data, 48)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 48 <= bytes.length; i += 8) {
      if (view.getUint32(i + 24, true) !== FIRST_REASONS[1].length || view.getUint32(i + 8, true) !== 0) continue;
      const found = (at + i) as Addr;
      if (isListOf(memory, found, FIRST_REASONS)) return found;
    }
  }
  return null;
}

function isListOf(memory: Memory, at: Addr, texts: readonly string[]): boolean {
  return onFault(
    () =>
      texts.every(
        (text, i) => memory.word(at, 16 * i + 8) === text.length && goString(memory, plus(at, 16 * i)) === text,
      ),
    () => false,
  );
}

/** Words of the module's data that may be pointers. */
function* pointers(memory: Memory, module: ModuleData): Iterable<{ at: Addr; target: Addr }> {
  for (const { at, bytes } of blocks(memory, module.data, 8)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 8 <= bytes.length; i += 8) {
      const target = wordAt(view, i);
      if (target > LOWEST && target < HIGHEST && target % 8 === 0) {
        yield { at: (at + i) as Addr, target: target as Addr };
      }
    }
  }
}
