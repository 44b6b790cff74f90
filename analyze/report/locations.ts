import { hex } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { AncestorInfo } from '../runtime/ancestors.js';
import { callTargets } from '../runtime/code-references.js';
import type { G } from '../runtime/goroutine.js';
import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { UNKNOWN_FILE, type CodeLine } from '../stacks/symbolize.js';
import type { ArgumentList } from '../stacks/argument-list.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { Ancestor, CallFrame, Frame, Loc, TracebackLine } from './model.js';
import { isRuntime, RuntimeCode } from './runtime-code.js';

/** Names, files and lines of the places that a goroutine's record names. */
export const PLACE_READS: Reads = {
  goroutine: (program) => {
    const locations = new LocationResolver(program);
    return {
      read: (g) => {
        locations.entry(g);
        locations.creator(g);
        locations.current(g);
      },
    };
  },
};

/** Code, names, files, lines and argument lists of every frame of every stack. */
export const STACK_READS: Reads = {
  place: () => readLines,
  thread: (program) => (m) => program.threadStackOf(m)?.frames.forEach(readLines),
};

function readLines({ point, trap }: Pick<PhysicalFrame, 'point' | 'trap'>): void {
  point.lines(trap);
  point.argumentList(trap);
}

/** What a traceback prints as the arguments of an inlined call. */
const INLINED = '...';
const NO_VALUES = { argsLive: '', argsPointers: '' };
const MARKS = new WeakMap<ArgumentList, Pick<CallFrame, 'argsLive' | 'argsPointers'>>();

/** A wrapper may wrap a wrapper: go statement, method value, embedded method. */
const MAX_WRAPPERS = 4;
/** Bytes of a wrapper's code that are searched for its call: wrappers only pass arguments on. */
const MAX_WRAPPER_CODE = 4096;

interface Entry {
  readonly loc: Loc;
  /** True where `loc` is still a wrapper, whose code does not say what it calls. */
  readonly wrapper: boolean;
}

/** First of return addresses, then of traps. */
type ByPc<T> = readonly [Map<number, T>, Map<number, T>];
/** A call at a place, but for what differs from stack to stack. */
type PlacedCall = Omit<CallFrame, 'sp' | 'fp' | 'args'>;

/** Places by code address: they stay the same as long as the program does. */
class KnownPlaces {
  /** Which lines are the runtime's; null until that is asked for. */
  runtime: RuntimeCode | null = null;
  readonly starts = new Map<number, Loc | null>();
  readonly entries = new Map<number, Entry | null>();
  readonly creators = new Map<number, Loc | null>();
  readonly currents = new Map<number, Loc | null>();
  readonly users: ByPc<Loc | null> = [new Map(), new Map()];
  readonly apps: ByPc<Loc | null> = [new Map(), new Map()];
  readonly calls: ByPc<readonly PlacedCall[]> = [new Map(), new Map()];
  /** By goroutine id, what the wrapper that it was started with called: ids are never used twice. */
  readonly called = new Map<number, Loc>();
}

/** A program may be looked at many times: its places are resolved once. */
const KNOWN = new WeakMap<CodeIndex, KnownPlaces>();
/** Size at which KnownPlaces.called is emptied, for programs that start goroutines without end. */
const MAX_CALLED = 1 << 17;

/** Resolves code addresses to the places that reports show. Equal addresses give the same object. */
export class LocationResolver {
  readonly #program: GoProgram;
  readonly #wrapper: number;
  readonly #known: KnownPlaces;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#wrapper = program.layouts.release.funcIDs.indexOf('wrapper');
    this.#known = KNOWN.get(program.index) ?? new KnownPlaces();
    KNOWN.set(program.index, this.#known);
  }

  get #runtime(): RuntimeCode {
    return (this.#known.runtime ??= new RuntimeCode(this.#program));
  }

  /** The goroutine's function, as the outermost frame of a traceback shows it. */
  start({ startpc }: G): Loc | null {
    const known = this.#known.starts.get(startpc);
    return known === undefined ? remember(this.#known.starts, startpc, this.#functionAt(startpc)) : known;
  }

  /**
   * The function that the `go` statement names: the start, seen through wrappers that the compiler made. If a wrapper
   * calls through a pointer, the goroutine's stack says what it called.
   */
  entry(g: G): Loc | null {
    let entry = this.#known.entries.get(g.startpc);
    if (entry === undefined) entry = remember(this.#known.entries, g.startpc, this.#seenThrough(g.startpc));
    return entry?.wrapper === true ? (this.#calledByWrapper(g) ?? entry.loc) : (entry?.loc ?? null);
  }

  /** The `go` statement that made the goroutine. */
  creator(g: G): Loc | null {
    return this.#createdAt(g.gopc);
  }

  ancestor({ goid, pcs, gopc }: AncestorInfo): Ancestor {
    return { goid, frames: pcs.flatMap((pc) => this.#innermost(pc) ?? []), creator: this.#createdAt(gopc) };
  }

  /** Where the scheduler will resume the goroutine: its innermost call. */
  current(g: G): Loc | null {
    const start = this.#program.startOf(g);
    if (start === null) return null;
    const { pc } = start.registers;
    if (!start.trap) return this.#innermost(pc);
    const [innermost] = this.#point(pc)?.lines(true) ?? [];
    return innermost === undefined ? null : this.#loc(innermost, pc);
  }

  /** The innermost line of a stack outside the runtime; null where there is none, or where it cannot be told. */
  user(physical: readonly PhysicalFrame[]): Loc | null {
    return this.#outside(physical, this.#known.users, (line) => this.#runtime.has(line));
  }

  /** The innermost line of a stack outside the standard library; null as for {@link user}. */
  app(physical: readonly PhysicalFrame[]): Loc | null {
    return this.#outside(physical, this.#known.apps, (line) => this.#runtime.isStandard(line));
  }

  #outside(
    physical: readonly PhysicalFrame[],
    places: ByPc<Loc | null>,
    isInside: (line: CodeLine) => boolean,
  ): Loc | null {
    if (!this.#runtime.isKnownFrom(physical)) return null;
    for (const { point, pc, trap } of physical) {
      const known = places[trap ? 1 : 0];
      let loc = known.get(pc);
      if (loc === undefined) {
        const line = point.lines(trap).find((line) => !isInside(line));
        loc = remember(known, pc, line === undefined ? null : this.#loc(line, pc));
      }
      if (loc !== null) return loc;
    }
    return null;
  }

  /** The functions on a stack, those of inlined calls too. */
  *functions(physical: readonly PhysicalFrame[]): Iterable<string> {
    for (const { point, trap } of physical) for (const { name } of point.lines(trap)) yield this.#printed(name);
  }

  /** The frames of a stack, innermost first, with one more for each inlined call. */
  frames(physical: readonly PhysicalFrame[]): Frame[] {
    return physical.flatMap((frame) => {
      const at = { pc: hex(frame.pc), sp: hex(frame.sp), fp: hex(frame.fp) };
      return frame.point.lines(frame.trap).map((line) => ({
        func: this.#printed(line.name),
        file: line.file,
        line: line.line,
        ...at,
        inlined: line.inlined,
      }));
    });
  }

  /** The same frames with the arguments of their calls. */
  calls(physical: readonly PhysicalFrame[]): CallFrame[] {
    const calls: CallFrame[] = [];
    for (const frame of physical) {
      const [sp, fp] = [hex(frame.sp), hex(frame.fp)];
      const text = this.#program.frameArguments.text(frame);
      for (const call of this.#placedCalls(frame)) {
        const { func, file, line, pc, inlined } = call;
        const args = inlined ? INLINED : text;
        const { argsLive, argsPointers } = args === null ? NO_VALUES : call;
        calls.push({ func, file, line, pc, sp, fp, inlined, args, argsLive, argsPointers });
      }
    }
    return calls;
  }

  #placedCalls(frame: PhysicalFrame): readonly PlacedCall[] {
    const known = this.#known.calls[frame.trap ? 1 : 0];
    return known.get(frame.pc) ?? remember(known, frame.pc, this.#callsAt(frame));
  }

  #callsAt({ point, trap, ...frame }: PhysicalFrame): PlacedCall[] {
    const pc = hex(frame.pc);
    const marks = marksOf(point.argumentList(trap));
    return point.lines(trap).map(({ name, file, line, inlined }) => {
      const { argsLive, argsPointers } = inlined ? NO_VALUES : marks;
      return { func: this.#printed(name), file, line, pc, inlined, argsLive, argsPointers };
    });
  }

  /** The same frames as a traceback prints them. */
  tracebackLines(physical: readonly PhysicalFrame[]): TracebackLine[] {
    return physical.flatMap((frame) =>
      frame.point.lines(frame.trap).map(({ name, file, line, inlined }) => ({
        func: this.#printed(name),
        ...{ file, line, entryOffset: inlined ? 0 : frame.pc - frame.point.func.entry },
        args: inlined ? INLINED : this.#program.frameArguments.text(frame),
      })),
    );
  }

  /** The innermost call at a return address, as a traceback prints an ancestor's frame; null where there is no Go code. */
  tracebackLine(pc: number): TracebackLine | null {
    return this.#withOffset(this.#innermost(pc), pc);
  }

  /** A `go` statement by its return address, as a traceback prints it. */
  tracebackCreator(gopc: number): TracebackLine | null {
    return this.#withOffset(this.#createdAt(gopc), gopc);
  }

  #withOffset(loc: Loc | null, pc: number): TracebackLine | null {
    if (loc === null) return null;
    const { func, file, line } = loc;
    return { func, file, line, entryOffset: pc - (this.#point(pc)?.func.entry ?? pc), args: null };
  }

  #createdAt(gopc: number): Loc | null {
    const known = this.#known.creators.get(gopc);
    if (known !== undefined) return known;
    const point = gopc === 0 ? null : this.#point(gopc);
    const [innermost] = point?.lines(false) ?? [];
    const isKnown = point !== null && innermost !== undefined;
    const loc = isKnown ? this.#loc({ ...innermost, name: point.func.name }, gopc) : null;
    return remember(this.#known.creators, gopc, loc);
  }

  /** The innermost call at a return address. */
  #innermost(pc: number): Loc | null {
    const known = this.#known.currents.get(pc);
    if (known !== undefined) return known;
    const [innermost] = this.#point(pc)?.lines(false) ?? [];
    return remember(this.#known.currents, pc, innermost === undefined ? null : this.#loc(innermost, pc));
  }

  #functionAt(pc: number): Loc | null {
    const line = this.#point(pc)?.lines(true).at(-1);
    return line === undefined ? null : this.#loc(line, pc);
  }

  #seenThrough(startpc: number): Entry | null {
    let pc = startpc;
    let wrapper = false;
    for (let depth = 0; depth < MAX_WRAPPERS; depth++) {
      const point = this.#point(pc);
      wrapper = point !== null && point.func.funcID === this.#wrapper;
      if (point === null || !wrapper) break;
      const inlined = this.#inlinedInto(point);
      if (inlined === 'unknown') break;
      if (inlined !== null) return { loc: inlined, wrapper: false };
      const called = this.#calledBy(point);
      if (called === null) break;
      pc = called;
    }
    const loc = this.#functionAt(pc);
    return loc === null ? null : { loc, wrapper };
  }

  #calledByWrapper(g: G): Loc | null {
    const { called } = this.#known;
    const known = called.get(g.goid);
    if (known !== undefined) return known;
    const loc = this.#calledOnStack(g);
    if (called.size >= MAX_CALLED) called.clear();
    if (loc !== null) called.set(g.goid, loc);
    return loc;
  }

  /** The outermost call on the stack, inlined ones included, that is neither goexit nor a wrapper. */
  #calledOnStack(g: G): Loc | null {
    const { frames } = this.#program.stackOf(g);
    const outermost = frames.findLastIndex(({ point }) => point.func.entry === g.startpc);
    for (const { point, pc, trap } of frames.slice(0, outermost + 1).reverse()) {
      const lines = point.lines(trap);
      const line = lines.findLast(({ funcID }) => funcID !== this.#wrapper);
      if (line !== undefined) return line.inlined ? this.#loc(line, pc) : this.#functionAt(point.func.entry);
      // A wrapper into which the call may have been inlined: the tables that would say so are absent.
      if (lines.some(({ file }) => file === UNKNOWN_FILE)) return null;
    }
    return null;
  }

  /**
   * The call that was inlined into a wrapper, at its first instruction that has one. Where the tables are absent, it is
   * unknown: calls in the wrapper's code may be those of what was inlined.
   */
  #inlinedInto(point: CodePoint): Loc | null | 'unknown' {
    const { func, table } = point;
    const end = Math.min(func.end, func.entry + MAX_WRAPPER_CODE);
    const search = (): Loc | null => {
      for (let pc = func.entry as number; pc < end; pc += table.quantum) {
        const lines = this.#program.index.symbolizer.lines(table, func, pc);
        const outermost = lines.at(-2);
        if (outermost !== undefined && lines.length >= 2 && !isRuntime(outermost.name)) return this.#loc(outermost, pc);
      }
      return null;
    };
    return onFault(search, () => 'unknown');
  }

  /** The only function that a wrapper calls directly; null where it calls through a pointer, or its code is absent. */
  #calledBy({ func: wrapper }: CodePoint): number | null {
    const { memory, image } = this.#program;
    const targets = onFault(
      () => callTargets(memory, image.arch, wrapper),
      () => [],
    );
    const ofRuntime = isRuntime(wrapper.name);
    const wrapped = targets.filter((target) => {
      const func = this.#point(target)?.func;
      if (func === undefined || func.entry !== target || func === wrapper) return false;
      return ofRuntime ? !func.name.startsWith('runtime.morestack') : !isRuntime(func.name);
    });
    return new Set(wrapped).size === 1 ? (wrapped[0] ?? null) : null;
  }

  #point(pc: number): CodePoint | null {
    return onFault(
      () => this.#program.index.at(pc),
      () => null,
    );
  }

  #loc(line: CodeLine, pc: number): Loc {
    return { func: this.#printed(line.name), file: line.file, line: line.line, pc: hex(pc) };
  }

  #printed(name: string): string {
    return this.#program.index.symbolizer.printedName(name);
  }
}

/** Whether the values of an argument list are live, and pointers. */
function marksOf(list: ArgumentList | null): Pick<CallFrame, 'argsLive' | 'argsPointers'> {
  if (list === null || list.slots.length === 0) return NO_VALUES;
  let marks = MARKS.get(list);
  if (marks === undefined) {
    const argsLive = list.slots.map(({ live }) => markOf(live)).join('');
    const argsPointers = list.slots.map(({ pointer }) => markOf(pointer)).join('');
    MARKS.set(list, (marks = { argsLive, argsPointers }));
  }
  return marks;
}

function markOf(value: boolean | null): string {
  return value === null ? '?' : value ? 'y' : 'n';
}

function remember<T>(map: Map<number, T>, key: number, value: T): T {
  map.set(key, value);
  return value;
}
