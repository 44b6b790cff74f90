import { plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { MemoryFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import { dataReferences } from './code-references.js';
import type { Layouts } from './layouts.js';
import { runtimeFunctions } from './locate-modules.js';
import { GlobalChecks } from './global-checks.js';
import { scanForGlobals } from './global-scan.js';

/** Package-level variables of package runtime (runtime2.go, proc.go), by address. */
export interface Globals {
  /** The slice header of all goroutines that ever were. */
  readonly allgs: Addr;
  /** The slice header of all Ps. */
  readonly allp: Addr;
  /** The pointer to the newest M, the head of the list through m.alllink. */
  readonly allm: Addr;
  readonly sched: Addr;
  readonly m0: Addr;
  readonly g0: Addr;
  /** null where dead-code elimination removed its readers: then len(allp) is the same. */
  readonly gomaxprocs: Addr | null;
  /** The phase of the garbage collection; null where it was not found. */
  readonly gcphase: Addr | null;
  /** The array of string headers; null where it was not found. */
  readonly waitReasonStrings: Addr | null;
  /** Offset of m.alllink as the target has it: it moved in patch releases. */
  readonly alllink: number;
  /** All variables that the functions refer to by which these were found; allgptr, allglen and modulesSlice among them. */
  readonly variables: readonly Addr[];
  /** How each was found, and what did not agree. */
  readonly notes: readonly string[];
}

/** The globals that nothing can be said without. */
export type Located = 'allgs' | 'allp' | 'allm' | 'sched' | 'g0';

/** What was tried in vain, by global. */
export class GlobalsNotFound extends Error {
  override readonly name = 'GlobalsNotFound';
}

/**
 * Functions that refer to the globals. Each rule was held against symbol tables of Go 1.12 to 1.27 on both CPUs
 * (test/analyze/globals.test.ts).
 */
const SOURCES = [
  'incidlelocked',
  'gcMarkTinyAllocs',
  'allgadd',
  'rt0_go',
  'mexit',
  'GOMAXPROCS',
  'freeSomeWbufs',
  'waitReason.String',
] as const;

/** Functions that refer to what debuggers ask for besides: modulesSlice. */
const FOR_DEBUGGERS = ['modulesinit'] as const;
const ALL_SOURCES = [...SOURCES, ...FOR_DEBUGGERS];

/** Finds the globals by the code of small runtime functions, and where that fails or is implausible by their shape. */
export function locateGlobals(memory: Memory, arch: Arch, table: FunctionTable, layouts: Layouts): Globals {
  const checks = new GlobalChecks(memory, layouts);
  const refs = new CodeReferences(memory, arch, table);
  const notes: string[] = [];
  const byCode = candidatesFromCode(refs, layouts);
  let byShape: Partial<Record<Located, Addr>> | null = null;
  const choose = (name: Located, valid: (a: Addr) => boolean): Addr | null => {
    const candidate = byCode[name];
    if (candidate !== undefined && valid(candidate)) return candidate;
    byShape ??= scanForGlobals(memory, table.module, checks);
    const shaped = byShape[name];
    const why = candidate === undefined ? 'not found by code' : 'the one found by code is implausible';
    notes.push(`runtime.${name}: ${why}, ${shaped === undefined ? 'nor by its shape' : 'taken by its shape'}`);
    return shaped ?? null;
  };
  const g0 = choose('g0', (a) => checks.g0(a));
  const m0 = g0 === null ? null : checks.machineOf(g0);
  const allm = m0 === null ? null : choose('allm', (a) => checks.alllink(a, m0) !== null);
  const alllink = allm === null || m0 === null ? null : checks.alllink(allm, m0);
  const allgs = choose('allgs', (a) => checks.allgs(a, true) > 0);
  const allp = choose('allp', (a) => checks.allp(a, true) > 0);
  const sched = choose('sched', (a) => checks.sched(a));
  if (g0 === null || m0 === null || allm === null || alllink === null) throw notFound('g0, m0 and allm', notes);
  if (allgs === null || allp === null || sched === null) throw notFound('allgs, allp and sched', notes);
  const gomaxprocs = refs.afterFirst('GOMAXPROCS', plus(sched, layouts.of('schedt').offset('lock')));
  const gcphase = phaseOf(refs);
  const reasons = refs.of('waitReason.String');
  return {
    ...{ allgs, allp, allm, sched, m0, g0, alllink, notes },
    variables: [...new Set(ALL_SOURCES.flatMap((name) => refs.of(name)))],
    gomaxprocs: gomaxprocs !== null && memory.has(gomaxprocs, 4) ? gomaxprocs : null,
    gcphase: gcphase !== null && memory.has(gcphase, 4) ? gcphase : null,
    waitReasonStrings: reasons.length === 0 ? null : reasons.reduce((a, b) => (a < b ? a : b)),
  };
}

/** freeSomeWbufs takes work.wbufSpans.lock, and looks at gcphase next (mgcwork.go). */
function phaseOf(refs: CodeReferences): Addr | null {
  const lock = refs.of('freeSomeWbufs')[0];
  return lock === undefined ? null : refs.afterFirst('freeSomeWbufs', lock);
}

function notFound(what: string, notes: readonly string[]): GlobalsNotFound {
  return new GlobalsNotFound(`the runtime's ${what} were not all found (${notes.join('; ')})`);
}

function candidatesFromCode(refs: CodeReferences, layouts: Layouts): Partial<Record<Located, Addr>> {
  const out: Partial<Record<Located, Addr>> = {};
  const set = (name: Located, value: Addr | null | undefined): void => {
    if (value !== null && value !== undefined) out[name] = value;
  };
  const lock = refs.of('incidlelocked')[0];
  const sched = lock === undefined ? null : plus(lock, -layouts.of('schedt').offset('lock'));
  set('sched', sched);
  const scans = refs.of('gcMarkTinyAllocs');
  set('allp', scans.find((x) => scans.includes(plus(x, 8))) ?? scans[0]);
  const adds = refs.of('allgadd');
  set(
    'allgs',
    adds.find((x) => adds.includes(plus(x, 8)) && adds.includes(plus(x, 16))),
  );
  set('g0', refs.of('rt0_go')[0]);
  if (lock !== undefined) set('allm', refs.afterFirst('mexit', lock));
  return out;
}

/** Data references of the source functions, read once each. */
class CodeReferences {
  readonly #memory: Memory;
  readonly #arch: Arch;
  readonly #within: readonly Range[];
  readonly #funcs: Map<string, Func>;
  readonly #known = new Map<string, Addr[]>();

  constructor(memory: Memory, arch: Arch, table: FunctionTable) {
    this.#memory = memory;
    this.#arch = arch;
    this.#within = table.module.data;
    this.#funcs = runtimeFunctions(memory, table, ALL_SOURCES);
  }

  /** In the order of the instructions; empty where the function or its code is absent. */
  of(name: (typeof ALL_SOURCES)[number]): Addr[] {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const refs = this.#read(name);
    this.#known.set(name, refs);
    return refs;
  }

  /** The reference behind the first one to `before`. */
  afterFirst(name: (typeof SOURCES)[number], before: Addr): Addr | null {
    const refs = this.of(name);
    const at = refs.indexOf(before);
    return at < 0 ? null : (refs.slice(at + 1).find((r) => r !== before) ?? null);
  }

  #read(name: string): Addr[] {
    const func = this.#funcs.get(name);
    if (func === undefined) return [];
    try {
      return dataReferences(this.#memory, this.#arch, func, this.#within);
    } catch (error) {
      if (error instanceof MemoryFault) return [];
      throw error;
    }
  }
}
