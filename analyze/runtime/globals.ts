import type { Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { FunctionTable } from '../binary/function-table.js';
import { GlobalChecks } from './global-checks.js';
import { GlobalsInCode, type OptionalGlobals } from './global-code.js';
import { findWaitReasons, scanForGlobals, type Located } from './global-scan.js';
import type { Layouts } from './layouts.js';

/**
 * Addresses of package-level variables of package runtime (runtime2.go, proc.go): `allgs` and `allp` are slice headers,
 * `allm` a pointer to the newest M, and `gomaxprocs` is null where the linker removed the code that reads it: it always
 * equals len(allp).
 */
export interface Globals extends Readonly<Record<Located, Addr>>, OptionalGlobals {
  readonly m0: Addr;
  /** Offset of m.alllink in this program: it has moved within patch releases. */
  readonly alllink: number;
  /** All variables that the functions refer to by which these were found; allgptr, allglen and modulesSlice among them. */
  readonly variables: readonly Addr[];
  /** For each global that its code did not give: why, and how it was found. */
  readonly notes: readonly string[];
  /** False where the memory did not bear out what the code, or the layout of the release, says: it may have changed. */
  readonly isCertain: boolean;
}

/** The message names what was not found and what was tried. */
export class GlobalsNotFound extends Error {
  override readonly name: string = 'GlobalsNotFound';
}

/** The variables were found, and the program has not set them yet. */
export class RuntimeNotReady extends GlobalsNotFound {
  override readonly name = 'RuntimeNotReady';
}

/**
 * Finds the globals by the code of small runtime functions, and where that fails or is implausible by their shape.
 * Throws {@link GlobalsNotFound}.
 */
export function locateGlobals(memory: Memory, arch: Arch, table: FunctionTable, layouts: Layouts): Globals {
  const checks = new GlobalChecks(memory, layouts);
  const code = new GlobalsInCode(memory, arch, table, layouts);
  const byCode = code.located;
  const notes: string[] = [];
  let isCertain = true;
  let byShape: Partial<Record<Located, Addr>> | null = null;
  const choose = (name: Located, isValid: (a: Addr) => boolean): Addr | null => {
    const candidate = byCode[name];
    if (candidate !== undefined && isValid(candidate)) return candidate;
    byShape ??= scanForGlobals(memory, table.module, checks);
    const shaped = byShape[name];
    if (candidate !== undefined) isCertain = false;
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
  const found = { g0, m0, allm, alllink, allgs, allp, sched };
  if (
    g0 === null ||
    m0 === null ||
    allm === null ||
    alllink === null ||
    allgs === null ||
    allp === null ||
    sched === null
  )
    throw notFound(found, notes, areUnset(memory, byCode));
  const { variables } = code;
  isCertain &&= alllink === layouts.of('m').offset('alllink');
  const optional = code.optional(sched);
  const waitReasonStrings = optional.waitReasonStrings ?? findWaitReasons(memory, table.module);
  return { allgs, allp, allm, sched, m0, g0, alllink, notes, isCertain, variables, ...optional, waitReasonStrings };
}

/** True if a variable that the code gives is empty, which none is once schedinit and newproc (proc.go) have run. */
function areUnset(memory: Memory, { allm, allgs, allp }: Partial<Record<Located, Addr>>): boolean {
  const isUnset = (at: Addr | undefined, offset: number): boolean =>
    at !== undefined &&
    onFault(
      () => memory.word(at, offset) === 0,
      () => false,
    );
  return isUnset(allm, 0) || isUnset(allgs, 8) || isUnset(allp, 8);
}

function notFound(
  found: Readonly<Record<string, unknown>>,
  notes: readonly string[],
  isUnset: boolean,
): GlobalsNotFound {
  const missing = Object.keys(found).filter((name) => found[name] === null);
  const message = `the runtime's ${missing.join(', ')} were not found (${notes.join('; ')})`;
  return isUnset ? new RuntimeNotReady(message) : new GlobalsNotFound(message);
}
