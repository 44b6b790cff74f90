import { hex } from '../../snapshots/address.js';
import { MemoryFault, onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import { callTargets } from '../runtime/code-references.js';
import type { G } from '../runtime/goroutine.js';
import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { UNKNOWN_FILE, type CodeLine } from '../stacks/symbolize.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { Ancestor, Frame, Loc } from './model.js';

/** A wrapper may wrap a wrapper: go statement, method value, embedded method. */
const MAX_WRAPPERS = 4;
/** Bytes of a wrapper that are looked at; they pass arguments on, and no more. */
const MAX_WRAPPER_CODE = 4096;

interface Entry {
  readonly loc: Loc;
  /** True where it is a wrapper still, whose call could not be told from its code. */
  readonly wrapper: boolean;
}

/** Places by code address, which stay the same as long as the program does. */
class KnownPlaces {
  readonly starts = new Map<number, Loc | null>();
  readonly entries = new Map<number, Entry | null>();
  readonly creators = new Map<number, Loc | null>();
  readonly currents = new Map<number, Loc | null>();
  /** By pc: of return addresses, and of traps. */
  readonly users: readonly [Map<number, Loc | null>, Map<number, Loc | null>] = [new Map(), new Map()];
  /** What a wrapper called, by the goroutine that it is the start of: the id of one is never given to another. */
  readonly called = new Map<number, Loc>();
}

/** One program may be looked at again and again: its places are worked out once. */
const KNOWN = new WeakMap<CodeIndex, KnownPlaces>();
/** Goroutines whose wrapper is remembered; those of a program that starts many without end are forgotten. */
const MAX_CALLED = 1 << 17;

/** Turns code addresses of a program into the places that reports show; equal addresses yield the same object. */
export class LocationResolver {
  readonly #program: GoProgram;
  readonly #wrapper: number;
  readonly #known: KnownPlaces;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#wrapper = program.layouts.release.wrapperFuncID;
    this.#known = KNOWN.get(program.index) ?? new KnownPlaces();
    KNOWN.set(program.index, this.#known);
  }

  /** The goroutine's function, as the bottom frame of a traceback has it. */
  start(g: G): Loc | null {
    return remembered(this.#known.starts, g.startpc, (pc) => this.#functionAt(pc));
  }

  /**
   * The function that the go statement names: the start, seen through wrappers that the compiler made. A wrapper that
   * calls through a pointer is told by what it called: the frame below it on the goroutine's stack.
   */
  entry(g: G): Loc | null {
    const entry = remembered(this.#known.entries, g.startpc, (pc) => this.#seenThrough(pc));
    return entry?.wrapper === true ? (this.#calledBehind(g) ?? entry.loc) : (entry?.loc ?? null);
  }

  /** The go statement that made the goroutine. */
  creator(g: G): Loc | null {
    return this.#createdAt(g.gopc);
  }

  /** Who made the goroutine and its makers, as far as the runtime keeps it. Throws MemoryFault where that is damaged. */
  ancestors(g: G): Ancestor[] {
    return this.#program.ancestorReader.read(g.ancestors).map(({ goid, pcs, gopc }) => ({
      goid,
      frames: pcs.flatMap((pc) => this.#innermost(pc) ?? []),
      creator: this.#createdAt(gopc),
    }));
  }

  /** Where the goroutine goes on: its innermost call. */
  current(g: G): Loc | null {
    const start = this.#program.startOf(g);
    if (start === null) return null;
    const { pc } = start.registers;
    if (!start.trap) return this.#innermost(pc);
    const [innermost] = this.#point(pc)?.lines(true) ?? [];
    return innermost === undefined ? null : this.#loc(innermost, pc);
  }

  /** The innermost line of a stack that is outside of the runtime. */
  user(physical: readonly PhysicalFrame[]): Loc | null {
    for (const { point, pc, trap } of physical) {
      const known = this.#known.users[trap ? 1 : 0];
      const loc = remembered(known, pc, () => {
        const line = point.lines(trap).find(({ name }) => !isRuntime(name));
        return line === undefined ? null : this.#loc(line, pc);
      });
      if (loc !== null) return loc;
    }
    return null;
  }

  /** The frames of a traceback, inlined calls unfolded, innermost first. */
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

  #createdAt(gopc: number): Loc | null {
    return remembered(this.#known.creators, gopc, (pc) => {
      const point = pc === 0 ? null : this.#point(pc);
      const [innermost] = point?.lines(false) ?? [];
      if (point === null || innermost === undefined) return null;
      return this.#loc({ ...innermost, name: point.func.name }, pc);
    });
  }

  /** The innermost call at a return address. */
  #innermost(pc: number): Loc | null {
    return remembered(this.#known.currents, pc, () => {
      const [innermost] = this.#point(pc)?.lines(false) ?? [];
      return innermost === undefined ? null : this.#loc(innermost, pc);
    });
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

  #calledBehind(g: G): Loc | null {
    const { called } = this.#known;
    const known = called.get(g.goid);
    if (known !== undefined) return known;
    const loc = this.#calledOnStack(g);
    if (called.size >= MAX_CALLED) called.clear();
    if (loc !== null) called.set(g.goid, loc);
    return loc;
  }

  /** The outermost call on a stack, inlined ones included, that is neither goexit nor a wrapper. */
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

  /** The only function that a wrapper calls directly; null where it calls through a pointer. */
  #calledBy(point: CodePoint): number | null {
    const ofRuntime = isRuntime(point.func.name);
    try {
      const targets = callTargets(this.#program.memory, this.#program.image.arch, point.func).filter((target) => {
        const func = this.#point(target)?.func;
        if (func === undefined || func.entry !== target || func === point.func) return false;
        return ofRuntime ? !func.name.startsWith('runtime.morestack') : !isRuntime(func.name);
      });
      const distinct = new Set(targets);
      return distinct.size === 1 ? (targets[0] ?? null) : null;
    } catch (error) {
      if (error instanceof MemoryFault) return null;
      throw error;
    }
  }

  #point(pc: number): CodePoint | null {
    try {
      return this.#program.index.at(pc);
    } catch (error) {
      if (error instanceof MemoryFault) return null;
      throw error;
    }
  }

  #loc(line: CodeLine, pc: number): Loc {
    return { func: this.#printed(line.name), file: line.file, line: line.line, pc: hex(pc) };
  }

  #printed(name: string): string {
    return this.#program.index.symbolizer.printedName(name);
  }
}

/** True for package runtime and the packages that belong to it. */
export function isRuntime(func: string): boolean {
  return /^(runtime|runtime\/[^.]*|internal\/runtime\/[^.]*)\./.test(func);
}

function remembered<T>(map: Map<number, T>, key: number, make: (key: number) => T): T {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make(key);
  map.set(key, made);
  return made;
}
