import { plus } from '../../snapshots/address.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import { FuncFlag, FunctionTable } from '../binary/function-table.js';
import type { GoVersion } from '../binary/go-version.js';
import type { ModuleData } from '../binary/module-data.js';
import { moduleDataAt } from './find-module-data.js';
import { findWaitReasons } from './global-scan.js';
import { GlobalsNotFound, locateGlobals, type Globals } from './globals.js';
import { GoroutineReader } from './goroutine.js';
import { Layouts, LAYOUT_STARTS, NO_DEBUG_INFO } from './layouts.js';
import { readMachines } from './machine.js';
import { RELEASES, type GoRelease } from './releases.js';
import { WaitReasons } from './wait-reasons.js';

/** A release that fits a program which does not say what built it. */
export interface GuessedRelease {
  /** Its text names every minor release that fits: `1.27`, `1.18 or 1.19`. The numbers are those of the newest that fits. */
  readonly version: GoVersion;
  readonly module: ModuleData;
}

interface Candidate {
  readonly version: GoVersion;
  readonly module: ModuleData;
  /** True if the list of Ms is linked where the layout says, false if the offset had to be corrected. */
  readonly exact: boolean;
}

/** How many goroutines are looked at. */
const SAMPLE = 256;
/** How many functions are looked at for calls that were inlined into them, and at about how many places of each. */
const INLINING_SAMPLE = 1024;
const PCS = 16;

/**
 * Tells the release that built a program by what is in its memory: the layout of moduledata, the numbers of its functions,
 * its wait reasons, and whether its Ms, Ps and goroutines are as that release has them. null where no release fits.
 */
export function guessRelease(image: ProcessImage, found: ModuleData): GuessedRelease | null {
  const { memory } = image;
  const table = new FunctionTable(memory, found);
  const functions = onFault(
    () => surveyFunctions(table),
    () => null,
  );
  if (functions === null) return null;
  const reason = newestWaitReason(memory, found);
  const fitting: Candidate[] = [];
  const hasInlined = new Map<GoRelease, boolean>();
  for (const version of LAYOUT_STARTS) {
    const layouts = new Layouts(version, NO_DEBUG_INFO);
    const { release } = layouts;
    if (release.pclntab.func !== found.pclntab.format.func || !hasFunctions(functions, release)) continue;
    if (reason !== null && reason !== release.waitReason) continue;
    let inlined = hasInlined.get(release);
    if (inlined === undefined) hasInlined.set(release, (inlined = hasInlinedCalls(memory, table, release)));
    if (!inlined) continue;
    const module = moduleDataAt(memory, found.addr, found.pclntab, layouts.of('moduledata'));
    const exact = module === null ? null : fitsRecords(image, module, layouts);
    if (module !== null && exact !== null) fitting.push({ version, module, exact });
  }
  const exact = fitting.filter((candidate) => candidate.exact);
  const best = exact.length > 0 ? exact : fitting;
  const [newest] = best;
  if (newest === undefined) return null;
  const minors = [...new Set(best.map(({ version }) => version.minor))].reverse();
  const text = minors.map((minor) => `1.${minor}`).join(' or ');
  return { version: { ...newest.version, text }, module: newest.module };
}

/** _func.funcID, and the flags of the functions that have it. */
type FunctionSurvey = ReadonlyMap<number, number>;

function surveyFunctions(table: FunctionTable): FunctionSurvey {
  const flags = new Map<number, number>();
  for (const { funcID, flag } of table.kinds()) flags.set(funcID, (flags.get(funcID) ?? 0) | flag);
  return flags;
}

/** True if wrappers have the highest number, as the release has it, and its goexit is marked as it marks it. */
function hasFunctions(functions: FunctionSurvey, { funcIDs, flagsTopFrames }: GoRelease): boolean {
  const goexit = functions.get(funcIDs.indexOf('goexit'));
  if (goexit === undefined || Math.max(...functions.keys()) !== funcIDs.length - 1) return false;
  return ((goexit & FuncFlag.topFrame) !== 0) === flagsTopFrames;
}

/** True unless what a release takes for the names of calls that were inlined are no names. */
function hasInlinedCalls(memory: Memory, table: FunctionTable, { inlineTree, inlinedCall }: GoRelease): boolean {
  const { data, length } = table.module.funcnametab;
  const isName = (offset: number): boolean =>
    offset === 0 || (offset < length && memory.u8(plus(data, offset - 1)) === 0);
  const places = Math.min(table.length, INLINING_SAMPLE);
  for (let i = 0; i < places; i++) {
    const index = Math.floor((i * table.length) / places);
    const fits = onFault(
      () => {
        const func = table.at(index);
        const tree = table.funcdata(func, inlineTree.funcdata);
        const step = Math.max(1, Math.floor((func.end - func.entry) / PCS));
        for (let pc: number = func.entry; tree !== null && pc < func.end; pc += step) {
          const call = table.pcdata(func, inlineTree.pcdata, pc);
          if (call >= 0 && !isName(memory.u32(plus(tree, inlinedCall.sizeBytes * call), inlinedCall.name)))
            return false;
        }
        return true;
      },
      () => true,
    );
    if (!fits) return false;
  }
  return true;
}

/** The last of the releases' distinctive wait reasons that the program has; null where its table is not found. */
function newestWaitReason(memory: Memory, module: ModuleData): GoRelease['waitReason'] | null {
  const strings = findWaitReasons(memory, module);
  if (strings === null) return null;
  const reasons = new WaitReasons(memory, strings);
  return RELEASES.findLast(({ waitReason: { number, text } }) => reasons.at(number) === text)?.waitReason ?? null;
}

/** Whether the runtime's records have a release's layouts, and {@link Candidate.exact}; null where they have not. */
function fitsRecords(image: ProcessImage, module: ModuleData, layouts: Layouts): boolean | null {
  const { memory, arch } = image;
  const table = new FunctionTable(memory, module);
  try {
    const globals = locateGlobals(memory, arch, table, layouts);
    if (!haveOwnIds(memory, layouts, globals) || !startAtFunctions(memory, table, layouts, globals)) return null;
    return globals.alllink === layouts.of('m').offset('alllink');
  } catch (error) {
    if (error instanceof GlobalsNotFound || error instanceof MemoryFault) return null;
    throw error;
  }
}

/** True if every M has an id and a thread of its own. Extra Ms have none. */
function haveOwnIds(memory: Memory, layouts: Layouts, globals: Globals): boolean {
  const { machines } = readMachines(memory, layouts, globals);
  const procids = machines.map(({ procid }) => procid).filter((procid) => procid !== 0);
  return [machines.map(({ id }) => id), procids].every((ids) => areDifferent(ids) && ids.every((id) => id < 2 ** 31));
}

/** True if goroutines have ids of their own, and most of them start at the beginning of a function. */
function startAtFunctions(memory: Memory, table: FunctionTable, layouts: Layouts, { allgs }: Globals): boolean {
  const reader = new GoroutineReader(memory, layouts);
  const { addresses } = reader.presentAddresses(allgs);
  const goids: number[] = [];
  let looked = 0;
  let good = 0;
  for (const address of addresses.subarray(0, SAMPLE)) {
    const g = reader.tryRead(address);
    if (g === null || g.status === 'dead') continue;
    goids.push(g.goid);
    if (g.startpc === 0) continue;
    looked++;
    if (table.find(g.startpc)?.entry === g.startpc) good++;
  }
  return areDifferent(goids) && good >= looked / 2;
}

function areDifferent(values: readonly number[]): boolean {
  return new Set(values).size === values.length;
}
