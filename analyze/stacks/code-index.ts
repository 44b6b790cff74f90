import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { FuncFlag, type Func, type FunctionTable } from '../binary/function-table.js';
import type { GoRelease } from '../runtime/releases.js';
import { ArgumentLists, type ArgumentList } from './argument-list.js';
import { specialFunc, type SpecialFunc } from './special-functions.js';
import { Symbolizer, UNKNOWN_FILE, type CodeLine } from './symbolize.js';

/** What the function tables say about one code address. All but the function is worked out on demand, and kept. */
export class CodePoint {
  readonly pc: number;
  readonly func: Func;
  readonly special: SpecialFunc | null;
  readonly table: FunctionTable;
  readonly #code: CodeIndex;
  /** The caller that was found here last: nearly all goroutines that stand here have the same. */
  lastCaller: CodePoint | null = null;
  #spDelta: number | null | undefined;
  #ordinarySize: number | undefined;
  #atCall: readonly CodeLine[] | undefined;
  #atPc: readonly CodeLine[] | undefined;
  #argumentsAtCall: ArgumentList | null | undefined;
  #argumentsAtPc: ArgumentList | null | undefined;

  constructor(pc: number, func: Func, table: FunctionTable, code: CodeIndex) {
    this.pc = pc;
    this.func = func;
    this.special = specialFunc(func.name);
    this.table = table;
    this.#code = code;
  }

  /**
   * Bytes that the function has put on the stack at this pc; on amd64 the return address is not counted. null where the
   * function has no table of them.
   */
  get spDelta(): number | null {
    if (this.#spDelta === undefined) this.#spDelta = this.table.value(this.func, 'pcsp', this.pc);
    return this.#spDelta;
  }

  /**
   * {@link spDelta} of a function without a rule of its own, whose table of frame sizes holds in all of its code: neither
   * the outermost of a stack nor one that writes SP. -1 for others.
   */
  get ordinarySize(): number {
    if (this.#ordinarySize === undefined) {
      const isOrdinary = this.special === null && (this.func.flag & (FuncFlag.topFrame | FuncFlag.spWrite)) === 0;
      this.#ordinarySize = isOrdinary ? (this.spDelta ?? -1) : -1;
    }
    return this.#ordinarySize;
  }

  /**
   * Lines, innermost first: those at the call for a return address, those at the pc itself after a trap (unwinder.symPC
   * of runtime/traceback.go). Where the tables are absent, one line with the function's name and `?` for its file.
   */
  lines(trap: boolean): readonly CodeLine[] {
    if (trap || this.pc <= this.func.entry) return (this.#atPc ??= this.#read(this.pc));
    return (this.#atCall ??= this.#read(this.pc - 1));
  }

  /** What a traceback prints of the arguments, but for their values. null where the tables are absent. */
  argumentList(trap: boolean): ArgumentList | null {
    if (trap) {
      if (this.#argumentsAtPc === undefined) this.#argumentsAtPc = this.#readArguments(true);
      return this.#argumentsAtPc;
    }
    if (this.#argumentsAtCall === undefined) this.#argumentsAtCall = this.#readArguments(false);
    return this.#argumentsAtCall;
  }

  #readArguments(trap: boolean): ArgumentList | null {
    return onFault<ArgumentList, null>(
      () => this.#code.argumentLists.at(this.table, this.func, this.pc, trap),
      () => null,
    );
  }

  #read(pc: number): readonly CodeLine[] {
    const { name, funcID } = this.func;
    return onFault<readonly CodeLine[], readonly CodeLine[]>(
      () => this.#code.symbolizer.lines(this.table, this.func, pc),
      () => [{ name, funcID, file: UNKNOWN_FILE, line: 0, inlined: false }],
    );
  }
}

/** Finds functions by code address, and remembers them: most goroutines of a program stand in a few places. */
export class CodeIndex {
  /** Has the code, its tables, and constants. */
  readonly memory: Memory;
  readonly tables: readonly FunctionTable[];
  readonly release: GoRelease;
  readonly arch: Arch;
  readonly symbolizer: Symbolizer;
  readonly argumentLists: ArgumentLists;
  readonly #points = new Map<number, CodePoint | null>();
  readonly #names = new Map<string, boolean>();
  readonly #facts = new Map<unknown, unknown>();

  constructor(memory: Memory, tables: readonly FunctionTable[], release: GoRelease, arch: Arch) {
    this.memory = memory;
    this.tables = tables;
    this.release = release;
    this.arch = arch;
    this.symbolizer = new Symbolizer(memory, release);
    this.argumentLists = new ArgumentLists(memory, release, arch);
  }

  /** null where there is no Go function at `pc`. Throws MemoryFault where the function table is absent. */
  at(pc: number): CodePoint | null {
    const known = this.#points.get(pc);
    if (known !== undefined) return known;
    const point = this.#find(pc);
    this.#points.set(pc, point);
    return point;
  }

  /** The function that begins at an address; null if none does. Throws as {@link at} does. */
  functionAt(entry: number): CodePoint | null {
    const point = this.at(entry);
    return point?.func.entry === entry ? point : null;
  }

  /** As {@link at}, for the return address of a frame: faster where the frame had the same caller last time. */
  callerOf(frame: CodePoint, pc: number): CodePoint | null {
    const known = frame.lastCaller;
    return known !== null && known.pc === pc ? known : (frame.lastCaller = this.at(pc));
  }

  /** True for a wrapper that the compiler made, which may jump to what it wraps. */
  isWrapper({ funcID }: Func): boolean {
    return this.release.funcIDs[funcID] === 'wrapper';
  }

  /** What an analysis works out from the code alone: kept for all images of the program, and for whoever asks for the same. */
  facts<T>(analysis: new (code: CodeIndex) => T): T {
    let known = this.#facts.get(analysis) as T | undefined;
    if (known === undefined) this.#facts.set(analysis, (known = new analysis(this)));
    return known;
  }

  /** Whether the program has a function of this name. */
  has(name: string): boolean {
    let known = this.#names.get(name);
    if (known === undefined) {
      known = this.tables.some((table) => table.named(new Set([name])).size > 0);
      this.#names.set(name, known);
    }
    return known;
  }

  #find(pc: number): CodePoint | null {
    for (const table of this.tables) {
      const func = table.find(pc);
      if (func !== null) return new CodePoint(pc, func, table, this);
    }
    return null;
  }
}
