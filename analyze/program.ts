import type { Addr } from '../snapshots/address.js';
import { badFile, GospyError, noGoProcess, unsupported } from '../snapshots/errors.js';
import { withParts, type ProcessImage } from '../snapshots/image.js';
import { MemoryFault, onFault } from '../snapshots/memory.js';
import type { Registers } from '../snapshots/registers.js';
import type { Work } from '../snapshots/work.js';
import { FunctionTable } from './binary/function-table.js';
import { PC_QUANTUM } from './binary/pclntab.js';
import type { GoVersion } from './binary/go-version.js';
import { GlobalsNotFound, locateGlobals, RuntimeNotReady, type Globals } from './runtime/globals.js';
import { GoRuntime, type Found, type RuntimeId } from './runtime/go-runtime.js';
import { isOnThread, type G, type StartRegisters } from './runtime/goroutine.js';
import { Layouts, NO_DEBUG_INFO, type DebugInfo, type LayoutFit } from './runtime/layouts.js';
import { locateRuntimes, type GoCode, type LocatedRuntime, type Search } from './runtime/locate-modules.js';
import type { M } from './runtime/machine.js';
import { otherCompiler } from './runtime/other-compilers.js';
import { KNOWN_RELEASES } from './runtime/releases.js';
import { CodeIndex } from './stacks/code-index.js';
import { FrameArguments } from './stacks/frame-arguments.js';
import { Unwinder, type Unwound, type WalkObserver } from './stacks/unwind.js';
import type { UnwindStart, UserStack } from './stacks/unwind-start.js';
import type { Warning } from './warnings.js';

/** A Go program in an image: its runtime, its code, and the stacks of its goroutines and threads. */
export class GoProgram extends GoRuntime {
  readonly index: CodeIndex;
  /** The arguments of frames on the stacks. */
  readonly frameArguments: FrameArguments;
  readonly #unwinder: Unwinder;
  /** Bytes to add to {@link M.vdsoSP}. */
  readonly #vdsoShift: number;
  readonly #torn: ReadonlySet<Addr>;

  /** `index` is the code index of the same program, if there is one from another image of it. */
  constructor(image: ProcessImage, found: Found, index?: CodeIndex) {
    super(image, found);
    this.index = index ?? new CodeIndex(this.memory, this.code.modules, this.layouts.release, image.arch);
    this.frameArguments = new FrameArguments(this.memory, image.arch);
    this.#vdsoShift = this.layouts.release.vdsoSpShift[image.arch];
    this.#torn = new Set(image.capture.torn);
    this.#unwinder = new Unwinder(this.memory, image.arch, this.index);
  }

  override over(changes: Partial<ProcessImage>): GoProgram {
    return new GoProgram(withParts(this.image, changes), this.found, this.index);
  }

  /** What a goroutine works on, if that was found out before; null where the memory tells. */
  workOf(g: G): readonly Work[] | null {
    const { work } = this.image;
    return work === undefined || work === null ? null : (work.byG.get(g.addr) ?? []);
  }

  /** Where unwinding a goroutine's stack starts; null where it runs on a thread whose registers are not known. */
  startOf(g: G): UnwindStart | null {
    const user = userStackOf(g);
    // For a moment, a running goroutine has no M yet (execute in proc.go).
    if (isOnThread(g) && g.m !== 0) {
      const machine = this.machineAt(g.m);
      return machine === null ? null : this.#runningOn(machine, user);
    }
    const syscall = g.syscallsp !== 0;
    const registers = syscall ? { pc: g.syscallpc, sp: g.syscallsp, lr: 0 } : g.sched;
    return { registers, trap: false, syscall, user, machine: null };
  }

  /** Where unwinding starts for an M's thread; null where its registers are not known. */
  #runningOn(m: M, user: UserStack): UnwindStart | null {
    const registers = this.threadOf(m)?.registers ?? null;
    if (registers === null) return null;
    const machine = {
      systemSp: this.#ownGoroutine(m.g0)?.sched.sp ?? 0,
      signal: this.#ownGoroutine(m.gsignal)?.stack ?? { lo: 0, hi: 0 },
      vdso: { pc: m.vdsoPC, sp: m.vdsoSP === 0 ? 0 : m.vdsoSP + this.#vdsoShift },
    };
    return { registers: startRegisters(registers), trap: true, syscall: false, user, machine };
  }

  /** m.g0 or m.gsignal; null where it is not set or cannot be read. */
  #ownGoroutine(address: Addr): G | null {
    return address === 0
      ? null
      : onFault(
          () => this.goroutineReader.read(address),
          () => null,
        );
  }

  /**
   * The stack of an M's thread: its system stack, followed by that of the goroutine that switched to it. null where its
   * registers are not known.
   */
  threadStackOf(m: M): Unwound | null {
    const g = m.curg === 0 ? null : this.goroutineAt(m.curg);
    const start = this.#runningOn(m, g === null ? NO_USER_STACK : userStackOf(g));
    if (start === null) return null;
    const stack = this.#unwinder.unwind(start);
    if (g?.status === 'running') this.#warnTruncated(g, stack);
    return stack;
  }

  /** The goroutine's stack, innermost frame first. Adds a warning where it ends early. */
  stackOf(g: G, limit?: number): Unwound {
    const stack = this.followStack(g, limit);
    this.#warnTruncated(g, stack);
    return stack;
  }

  /** The pcs of {@link stackOf}, as {@link Unwinder.pcsOfWhole} finds them: 0 for stacks of which only that can tell. */
  pcsOfWhole(g: G, pcs: Float64Array): number {
    const start = this.startOf(g);
    return start === null ? 0 : this.#unwinder.pcsOfWhole(start, pcs);
  }

  protected followStack(g: G, limit?: number): Unwound {
    const start = this.startOf(g);
    return start === null ? NO_REGISTERS : this.#unwinder.unwind(start, limit);
  }

  /** Torn goroutines, and those that could not be looked at, are marked as such: nothing is wrong with their stacks. */
  #warnTruncated({ addr, goid }: G, { truncated, untold }: Unwound): void {
    if (truncated === null || untold === true || this.#torn.has(addr)) return;
    this.warn({ code: STACK_TRUNCATED, goid, message: `its stack ends early: ${truncated}` });
  }

  /** The same walk, step by step before the eyes of `observer`. */
  watchStackOf(g: G, observer: WalkObserver): Unwound {
    const start = this.startOf(g);
    if (start === null) return NO_REGISTERS;
    const stack = new Unwinder(this.memory, this.image.arch, this.index, observer).unwind(start);
    this.#warnTruncated(g, stack);
    return stack;
  }
}

const STACK_TRUNCATED = 'stack-truncated';

const NO_REGISTERS: Unwound = {
  frames: [],
  truncated: 'it was running, and the registers of its thread are not known',
  untold: true,
};

/** Stands for the goroutine of a thread that runs none. */
const NO_USER_STACK: UserStack = { lo: 0, hi: 0, sched: { pc: 0, sp: 0, lr: 0 }, topSp: 0 };

function userStackOf({ stack: { lo, hi }, sched, stktopsp }: G): UserStack {
  return { lo, hi, sched, topSp: stktopsp };
}

function startRegisters(registers: Registers): StartRegisters {
  const [pc, sp] = [Number(registers.pc), Number(registers.sp)];
  if (registers.arch === 'arm64') return { pc, sp, lr: Number(registers.get('x30')) };
  return { pc, sp, lr: 0, r12: Number(registers.get('r12')) };
}

/** The programs over an image with these changes: what was found out about their code is kept. */
export function programsOver(changes: Partial<ProcessImage>, [first, ...more]: Programs): Programs {
  return [first.over(changes), ...more.map((program) => program.over(changes))];
}

/** Opens programs that were found before, as {@link reopenProgram} does. */
export function reopenPrograms(image: ProcessImage, [first, ...more]: Programs): Programs {
  return [reopenProgram(image, first), ...more.map((program) => reopenProgram(image, program))];
}

/**
 * Opens a program that was found before, in another image of the process that has its function tables: nothing is searched
 * for, and all of it is read from that image.
 */
export function reopenProgram(image: ProcessImage, { found }: GoProgram): GoProgram {
  const modules = found.code.modules.map(({ module, nameGiver }) => new FunctionTable(image.memory, module, nameGiver));
  return new GoProgram(image, { ...found, code: { ...found.code, modules } });
}

/** The Go programs of a process: usually one. Several where it has loaded libraries that hold a Go runtime each. */
export type Programs = readonly [GoProgram, ...GoProgram[]];

/** How many goroutines the programs have, with those that have ended: runtime.allgs never gets shorter. Throws MemoryFault. */
export function lengthOfAllgs(programs: Programs): number {
  return programs.reduce((sum, { memory, globals }) => sum + memory.word(globals.allgs, 8), 0);
}

/** The struct layouts that an image of programs has to keep: those that debug information gave. */
export function structsOf(programs: Programs): ProcessImage['structs'] {
  return (programs.find(({ layouts }) => layouts.debugInfo.size > 0) ?? programs[0]).layouts.debugInfo;
}

/** Opens the first of the {@link openPrograms}. Throws as that does. */
export function openProgram(image: ProcessImage, debugInfo: DebugInfo = NO_DEBUG_INFO): GoProgram {
  return openPrograms(image, debugInfo)[0];
}

/**
 * Finds the Go programs in an image, that of the executable first. `debugInfo` is asked for the layouts of an unknown
 * release, unless the image has them. One that cannot be read is a warning of the image if another can. Throws GospyError
 * where none can: exit code 3 where there is no Go program, 6 where its release is unknown and the nearest layouts do not
 * fit, 5 where a file lacks the variables or records that the analysis needs.
 */
export function openPrograms(image: ProcessImage, debugInfo: DebugInfo = NO_DEBUG_INFO): Programs {
  const structs = image.structs.size > 0 ? () => image.structs : debugInfo;
  const search = locateRuntimes(image, structs);
  if (search.runtimes.length === 0) throw notFound(search, structs);
  const found: Unnumbered[] = [];
  const failures: Failure[] = search.incomplete.map((path) => ({ path, error: new Error(NO_TABLE) }));
  for (const located of search.runtimes) {
    try {
      const facts = factsOf(image, located, structs);
      // A plugin that is being loaded is in no chain yet, and refers to the variables of the program that loads it.
      if (found.some(({ globals }) => globals.allgs === facts.globals.allgs)) continue;
      found.push(facts);
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      failures.push({ path: located.file.path, error });
    }
  }
  const told = found.length === 0 ? image : withFailures(image, failures);
  const [first, ...more] = found.map((facts, i) => {
    return new GoProgram(told, { ...facts, runtime: { n: i + 1, ...facts.runtime } });
  });
  if (first === undefined) throw failures[search.incomplete.length]?.error ?? noGoProcess('the program has no Go code');
  return [first, ...more];
}

/** What is known of a runtime before all are found. */
type Unnumbered = Omit<Found, 'runtime'> & { readonly runtime: Omit<RuntimeId, 'n'> };

/** A runtime that cannot be read, and why. */
interface Failure {
  readonly path: string;
  readonly error: Error;
}

const NO_TABLE = 'the function table that its data names is not in the target, or of no kind that is known';

/** The code of the warning of a runtime that cannot be read, while others of the process can. */
export const RUNTIME_UNREADABLE = 'runtime-unreadable';

/** The image with a warning for each runtime that cannot be read, unless the capture has warned of it before. */
function withFailures(image: ProcessImage, failures: readonly Failure[]): ProcessImage {
  if (failures.length === 0) return image;
  const { capture } = image;
  const warnings = [...capture.warnings];
  for (const { path, error } of failures) {
    const about = `${path} has a Go runtime too, which is not shown`;
    if (warnings.some(({ code, message }) => code === RUNTIME_UNREADABLE && message.startsWith(about))) continue;
    warnings.push({ code: RUNTIME_UNREADABLE, message: `${about}: ${error.message}` });
  }
  return withParts(image, { capture: { ...capture, warnings } });
}

function notFound({ image, tried, release, hasTable }: Search, structs: DebugInfo): GospyError {
  const some = tried.slice(0, 3).join('; ');
  if (release !== null && new Layouts(release, structs).fit === 'other-minor') return notUnderstood(release, some);
  const what = image.kind === 'live' ? `process ${image.pid}` : 'the file';
  const compiler = otherCompiler(image);
  if (compiler !== null) return otherRuntime(what, compiler);
  return noGoProcess(`looking for a Go runtime in ${what} found none: ${some}`, {
    hint: `gospy reads programs built by ${KNOWN_RELEASES} for amd64 and arm64`,
    cause: hasTable ? new RuntimeNotReady(tried.join('; ')) : undefined,
  });
}

function otherRuntime(what: string, compiler: string): GospyError {
  return unsupported(`looking for a Go runtime in ${what} found that of ${compiler}, which gospy does not read`, {
    hint: `gospy reads programs built by the go command's own compiler, ${KNOWN_RELEASES} for amd64 and arm64`,
  });
}

/** The code is not for the CPU of the threads: their registers are those of a program that emulates the other one. */
function emulated({ kind, pid, arch }: ProcessImage): GospyError {
  const other = arch === 'amd64' ? 'arm64' : 'amd64';
  const what = kind === 'live' ? `process ${pid}` : 'the file';
  return unsupported(
    `the Go program of ${what} is for ${other}, and its threads run on ${arch}: an emulator such as qemu-user runs it`,
    {
      hint: `run it on a machine for ${other}; a core that the emulator itself writes of the program can be read`,
    },
  );
}

/** What holds of a runtime in every image of it. Throws GospyError. */
function factsOf(image: ProcessImage, { file, code }: LocatedRuntime, structs: DebugInfo): Unnumbered {
  const { path, buildId, goBuildId } = file;
  const runtime = { file: path, buildId, goBuildId };
  const [module] = code.modules;
  if (module === undefined) throw noGoProcess('the program has no Go code');
  if (module.quantum !== PC_QUANTUM[image.arch]) throw emulated(image);
  const layouts = new Layouts(code.version, structs);
  try {
    const globals = locateGlobals(image.memory, image.arch, module, layouts);
    return { runtime, code, layouts, globals, warnings: warningsOf(code, layouts, globals) };
  } catch (error) {
    if (!(error instanceof GlobalsNotFound) && !(error instanceof MemoryFault)) throw error;
    throw notLocated(image, code, layouts, error);
  }
}

function notLocated(image: ProcessImage, code: GoCode, layouts: Layouts, cause: Error): GospyError {
  const release = `Go ${code.version.text}`;
  if (cause instanceof RuntimeNotReady && image.kind === 'live') {
    return noGoProcess(`process ${image.pid} is a program of ${release} whose runtime has not started yet`, {
      cause,
      hint: 'try again once it runs',
    });
  }
  if (layouts.fit !== 'other-minor' && image.kind !== 'live') {
    return badFile(`reading the runtime's variables of ${release} failed: ${cause.message}`, {
      cause,
      hint: 'the file may have been cut or damaged: `gospy info` says what is wrong with it',
    });
  }
  return notUnderstood(code.version, cause.message, cause);
}

function notUnderstood({ text }: GoVersion, why: string, cause?: Error): GospyError {
  return unsupported(`the program was built by Go ${text}, and its runtime could not be made out: ${why}`, {
    cause,
    hint: `gospy knows ${KNOWN_RELEASES}; it reads others with the program's debug information (--bin names a build that has it)`,
  });
}

/** Warnings about facts of the program that are not certain: its names, its layouts, and the addresses of its globals. */
function warningsOf(code: GoCode, { version, fit }: Layouts, { notes }: Globals): Warning[] {
  const guess = GUESSES[fit];
  return [
    ...obfuscationOf(code),
    ...(guess === null ? [] : [{ code: guess.code, message: `Go ${version.text} ${guess.words}` }]),
    ...notes.map((message) => ({ code: 'globals-second-way', message })),
  ];
}

function* obfuscationOf({ version, versionFrom, modules: [first] }: GoCode): Iterable<Warning> {
  if (first?.module.pclntab.altered === true) {
    yield {
      code: 'function-table-altered',
      message:
        "its function table bears a mark that is not Go's, as garble leaves it: names, files and lines may not be those of the source",
    };
  }
  if (first !== undefined && first.nameGiver !== null) {
    yield {
      code: 'names-removed',
      message:
        'function names were removed from the program: functions are named by their addresses, and those of package runtime by its files',
    };
  }
  if (versionFrom === 'what fits') {
    yield {
      code: 'version-guessed',
      message: `what the program says of the Go release that built it is missing or not true; its runtime is that of Go ${version.text}`,
    };
  }
}

const GUESSES: Readonly<Record<LayoutFit, { readonly code: string; readonly words: string } | null>> = {
  known: null,
  'newer-patch': {
    code: 'layout-newer-patch',
    words: 'is newer than the patch releases that were checked; its layouts were taken from the last one',
  },
  'debug-info': {
    code: 'layout-debug-info',
    words: "is not known; its layouts were taken from the program's debug information",
  },
  'other-minor': {
    code: 'layout-nearest',
    words: 'is not known; the layouts of the nearest release fit what was checked',
  },
};
