import { hex, type Addr } from '../snapshots/address.js';
import { badFile, GospyError, noGoProcess, unsupported } from '../snapshots/errors.js';
import type { ProcessImage, Thread } from '../snapshots/image.js';
import { MemoryFault, type Memory } from '../snapshots/memory.js';
import type { Registers } from '../snapshots/registers.js';
import type { GoVersion } from './binary/go-version.js';
import type { Warning } from './report/model.js';
import { GlobalsNotFound, locateGlobals, type Globals } from './runtime/globals.js';
import { GoroutineReader, type G } from './runtime/goroutine.js';
import { AncestorReader } from './runtime/ancestors.js';
import { LabelReader } from './runtime/labels.js';
import { Layouts, NO_DEBUG_INFO, type DebugInfo } from './runtime/layouts.js';
import { locateModules, type GoCode } from './runtime/locate-modules.js';
import { readMachines, type M } from './runtime/machine.js';
import { readProcessors, type P } from './runtime/processor.js';
import { WaitReasons } from './runtime/wait-reasons.js';
import { CodeIndex } from './stacks/code-index.js';
import type { StartRegisters } from './stacks/signal-frame.js';
import { Unwinder, type UnwindStart, type Unwound, type UserStack } from './stacks/unwind.js';

/** A Go program in an image: its code, the layouts of its release, its runtime's globals, and views of what they hold. */
export class GoProgram {
  readonly image: ProcessImage;
  readonly memory: Memory;
  readonly code: GoCode;
  readonly layouts: Layouts;
  readonly globals: Globals;
  readonly index: CodeIndex;
  readonly goroutineReader: GoroutineReader;
  readonly waitReasons: WaitReasons;
  readonly labelReader: LabelReader;
  readonly ancestorReader: AncestorReader;
  /** What the analysis could not tell; reports add theirs. */
  readonly warnings: Warning[] = [];
  readonly #unwinder: Unwinder;
  /** See {@link M.vdsoSP}. */
  readonly #vdsoShift: number;
  readonly #unreadable = new Set<Addr>();
  #absent = 0;
  #machines: readonly M[] | null = null;
  #threadOf: Map<number, Thread> | null = null;

  /** `index` is what is known of the code already, where the program was looked at before. */
  constructor(image: ProcessImage, code: GoCode, layouts: Layouts, globals: Globals, index?: CodeIndex) {
    this.image = image;
    this.memory = image.memory;
    this.code = code;
    this.layouts = layouts;
    this.globals = globals;
    this.index = index ?? new CodeIndex(this.memory, code.modules, code.version.minor);
    this.goroutineReader = new GoroutineReader(this.memory, layouts);
    this.waitReasons = new WaitReasons(this.memory, globals.waitReasonStrings);
    this.labelReader = new LabelReader(this.memory, code.version.minor);
    this.ancestorReader = new AncestorReader(this.memory, layouts);
    this.#vdsoShift = image.arch === 'amd64' && code.version.minor <= 13 ? 8 : 0;
    this.#unwinder = new Unwinder(this.memory, image.arch, this.index);
  }

  /** The same program in another image of it: its code and globals stay where they are, and what is known of them. */
  over(image: ProcessImage): GoProgram {
    return new GoProgram(image, this.code, this.layouts, this.globals, this.index);
  }

  get version(): GoVersion {
    return this.code.version;
  }

  /** GOMAXPROCS; the number of Ps where the variable was removed from the program. */
  get gomaxprocs(): number {
    const { gomaxprocs, allp } = this.globals;
    const ps = this.memory.word(allp, 8);
    const value = gomaxprocs === null ? 0 : this.memory.i32(gomaxprocs);
    return value > 0 && value <= ps ? value : ps;
  }

  get machines(): readonly M[] {
    if (this.#machines === null) {
      const { machines, damage } = readMachines(this.memory, this.layouts, this.globals);
      if (damage !== null) this.warnings.push({ code: 'machines-damaged', message: damage });
      this.#machines = machines;
    }
    return this.#machines;
  }

  /** Throws MemoryFault where they are damaged. */
  get processors(): readonly P[] {
    return readProcessors(this.memory, this.layouts, this.globals);
  }

  /** Goroutines that are not dead, in the order of their ids. One that cannot be read becomes a warning. */
  *goroutines(): Iterable<G> {
    for (const address of this.goroutineAddresses()) {
      const g = this.#goroutine(address as Addr);
      if (g !== null) yield g;
    }
  }

  /** How many {@link goroutines} there are. */
  get goroutineCount(): number {
    let count = 0;
    for (const address of this.goroutineAddresses()) if (this.#goroutine(address as Addr) !== null) count++;
    return count;
  }

  /**
   * Where all goroutines lie, the dead ones too, in the order of their ids; those that the image lists no more become a
   * warning. Throws MemoryFault where allgs is damaged.
   */
  goroutineAddresses(): Float64Array {
    const { addresses, absent } = this.goroutineReader.presentAddresses(this.globals.allgs);
    this.#noteAbsent(absent);
    const goids = addresses.map((address) => this.goroutineReader.goidAt(address as Addr));
    // An array's own sort takes hardly any time for what is nearly in order, as allgs is.
    const order = Array.from(addresses, (_, i) => i).sort((a, b) => (goids[a] ?? 0) - (goids[b] ?? 0));
    return Float64Array.from(order, (i) => addresses[i] ?? 0);
  }

  /** Goroutines, of those looked at so far, of which nothing can be said, dead ones included. */
  get unreadable(): number {
    return this.#absent + this.#unreadable.size;
  }

  /** The thread of an M, or null where the image has none of that id. */
  threadOf(m: M): Thread | null {
    this.#threadOf ??= new Map(this.image.threads.map((thread) => [thread.namespaceTid, thread]));
    return m.procid === 0 ? null : (this.#threadOf.get(m.procid) ?? null);
  }

  machineAt(addr: Addr): M | null {
    return addr === 0 ? null : (this.machines.find((m) => m.addr === addr) ?? null);
  }

  /** Where the goroutine's stack is followed from; null where it runs on a thread whose registers are not known. */
  startOf(g: G): UnwindStart | null {
    const user = { lo: g.stack.lo, hi: g.stack.hi, sched: g.sched };
    // A goroutine is running for a moment before it is given an M (execute in proc.go).
    if (g.status === 'running' && g.m !== 0) {
      const machine = this.machineAt(g.m);
      return machine === null ? null : this.#runningOn(machine, user);
    }
    const syscall = g.syscallsp !== 0;
    const registers = syscall ? { pc: g.syscallpc, sp: g.syscallsp, lr: 0 } : g.sched;
    return { registers, trap: false, syscall, user, machine: null };
  }

  /** null where the registers of the M's thread are not known. */
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

  /** g0 or gsignal of an M, as far as it can be read. */
  #ownGoroutine(address: Addr): G | null {
    try {
      return address === 0 ? null : this.goroutineReader.read(address);
    } catch (error) {
      if (error instanceof MemoryFault) return null;
      throw error;
    }
  }

  /**
   * Where an M's thread stands, down to the outermost frame of its system stack, or of the goroutine that it came from.
   * null where its registers are not known.
   */
  threadStackOf(m: M): Unwound | null {
    const g = m.curg === 0 ? null : this.#goroutine(m.curg);
    const start = this.#runningOn(m, g === null ? NO_USER_STACK : { lo: g.stack.lo, hi: g.stack.hi, sched: g.sched });
    return start === null ? null : this.#unwinder.unwind(start);
  }

  /** The goroutine's stack, innermost frame first. */
  stackOf(g: G, limit?: number): Unwound {
    const start = this.startOf(g);
    if (start === null)
      return { frames: [], truncated: 'it was running, and the registers of its thread are not known' };
    return this.#unwinder.unwind(start, limit);
  }

  #goroutine(address: Addr): G | null {
    try {
      return this.goroutineReader.isDead(address) ? null : this.goroutineReader.read(address);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      if (this.#unreadable.has(address)) return null;
      this.#unreadable.add(address);
      this.warnings.push({
        code: 'goroutine-unreadable',
        message: `the goroutine at ${hex(address)} cannot be read: ${error.message}`,
      });
      return null;
    }
  }

  #noteAbsent(absent: number): void {
    if (absent > 0 && this.#absent === 0) {
      const message = `${absent} goroutines cannot be read: the memory that lists them is not in the image`;
      this.warnings.push({ code: 'goroutines-missing', message });
    }
    this.#absent = absent;
  }
}

/** Of a thread that runs no goroutine: its system stack leads back to nothing. */
const NO_USER_STACK = { lo: 0, hi: 0, sched: { pc: 0, sp: 0, lr: 0 } };

function startRegisters(registers: Registers): StartRegisters {
  const lr = registers.arch === 'arm64' ? Number(registers.get('x30')) : 0;
  return { pc: Number(registers.pc), sp: Number(registers.sp), lr };
}

/**
 * Finds the Go program in an image. Throws GospyError: 3 where there is none, 6 where its release is not known and the
 * nearest layouts do not fit, 5 where a file has lost what the analysis stands on. `debugInfo` is asked for the layouts of
 * a release that is not known, unless the image has them.
 */
export function openProgram(image: ProcessImage, debugInfo: DebugInfo = NO_DEBUG_INFO): GoProgram {
  const structs = image.structs.size > 0 ? () => image.structs : debugInfo;
  const code = locateModules(image, structs);
  if ('tried' in code) {
    if (code.release !== null && new Layouts(code.release, structs).fit === 'other-minor') {
      throw notUnderstood(code.release, code.tried.slice(0, 3).join('; '));
    }
    const what = image.kind === 'live' ? `process ${image.pid}` : 'the file';
    throw noGoProcess(`looking for a Go runtime in ${what} found none: ${code.tried.slice(0, 3).join('; ')}`, {
      hint: 'gospy reads programs built by Go 1.12 to 1.27 for amd64 and arm64',
    });
  }
  const runtime = code.modules[0];
  if (runtime === undefined) throw noGoProcess('the program has no Go code');
  const layouts = new Layouts(code.version, structs);
  const program = new GoProgram(image, code, layouts, globalsOf(image, code, layouts));
  warnOfFit(program);
  return program;
}

function globalsOf(image: ProcessImage, code: GoCode, layouts: Layouts): Globals {
  const [runtime] = code.modules;
  if (runtime === undefined) throw noGoProcess('the program has no Go code');
  try {
    return locateGlobals(image.memory, image.arch, runtime, layouts);
  } catch (error) {
    if (!(error instanceof GlobalsNotFound) && !(error instanceof MemoryFault)) throw error;
    throw notLocated(image, code, layouts, error);
  }
}

function notLocated(image: ProcessImage, code: GoCode, layouts: Layouts, cause: Error): GospyError {
  const release = `Go ${code.version.text}`;
  if (layouts.fit !== 'other-minor' && image.kind !== 'live') {
    return badFile(`reading the runtime's variables of ${release} failed: ${cause.message}`, {
      cause,
      hint: 'the file may have been cut or damaged; gospy info tells',
    });
  }
  return notUnderstood(code.version, cause.message, cause);
}

function notUnderstood({ text }: GoVersion, why: string, cause?: Error): GospyError {
  return unsupported(`the program was built by Go ${text}, and its runtime could not be made out: ${why}`, {
    cause,
    hint: 'gospy knows Go 1.12 to 1.27; with its debug information (--bin names a build that has it) it reads others too',
  });
}

function warnOfFit(program: GoProgram): void {
  const { version, layouts, globals } = program;
  if (layouts.fit === 'newer-patch') {
    const message = `Go ${version.text} is newer than the patch releases that were checked; its layouts were taken from the last one`;
    program.warnings.push({ code: 'layout-newer-patch', message });
  } else if (layouts.fit === 'debug-info') {
    const message = `Go ${version.text} is not known; its layouts were taken from the program's debug information`;
    program.warnings.push({ code: 'layout-debug-info', message });
  } else if (layouts.fit === 'other-minor') {
    const message = `Go ${version.text} is not known; the layouts of the nearest release fit what was checked`;
    program.warnings.push({ code: 'layout-nearest', message });
  }
  for (const note of globals.notes) program.warnings.push({ code: 'globals-second-way', message: note });
}
