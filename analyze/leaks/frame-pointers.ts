import { NIL, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import { pointerMap, isPointer, type MappedPart } from '../stacks/pointer-maps.js';
import { stackObjects } from '../stacks/stack-objects.js';
import { CPUS } from '../waits/cpus.js';

/** Which words of the frames that stand at one place in the code may hold pointers. All are bytes from the frame's stack pointer. */
export interface FramePointers {
  /** Bytes from its stack pointer to that of its caller. */
  readonly sizeBytes: number;
  /** Words that hold pointers; null where any of the frame's own may. */
  readonly words: Int32Array | null;
  /** Where its arguments and results end. */
  readonly argumentsEnd: number;
  /** Its variables to which other words may point: from, to. */
  readonly objects: readonly (readonly [from: number, to: number])[];
}

/** Bytes between a function's variables and the stack pointer at its entry: the caller's frame pointer. */
const BELOW_ENTRY = 8;
const WORD = 8;

/**
 * Tells which words of frames the garbage collector takes for pointers: those that are live where the frame stands
 * (scanframeworker in mgcmark.go and getStackMap in stkframe.go; stack.go before 1.20).
 */
export class PointersInFrames {
  readonly #program: GoProgram;
  readonly #memory: Memory;
  readonly #pushed: number;
  /** Bytes from the caller's stack pointer to the first argument (sys.MinFrameSize). */
  readonly #argumentsAt: number;
  /** Frames with no more bytes of their own have no maps of locals. */
  readonly #leastLocals: number;
  readonly #known = new Map<number, FramePointers | null>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#memory = program.memory;
    const isArm64 = program.image.arch === 'arm64';
    this.#pushed = CPUS[program.image.arch].pushed;
    this.#argumentsAt = isArm64 ? 8 : 0;
    this.#leastLocals = isArm64 ? 16 : 0;
  }

  /** Those of a frame that is to return to `pc`; null where not even its size is known, or how many arguments it has. */
  at(pc: number): FramePointers | null {
    let known = this.#known.get(pc);
    if (known === undefined) {
      known = onFault(
        () => this.#read(pc),
        () => null,
      );
      this.#known.set(pc, known);
    }
    return known;
  }

  #read(pc: number): FramePointers | null {
    const point = this.#program.index.at(pc);
    const own = point?.ordinarySize ?? -1;
    if (point === null || own < 0) return null;
    const sizeBytes = own + this.#pushed;
    const argumentBytes = point.table.argumentBytes(point.func);
    if (argumentBytes === null) return null;
    const first = sizeBytes + this.#argumentsAt;
    const argumentsEnd = first + argumentBytes;
    const variablesEnd = own - BELOW_ENTRY;
    const objects = stackObjects(this.#memory, this.#program.layouts.release, point.table, point.func);
    if (objects === null) return null;
    const words = this.#words(point, variablesEnd, first, argumentBytes);
    return {
      sizeBytes,
      words,
      argumentsEnd,
      objects: objects.map(({ offset, sizeBytes: size }) => {
        const from = offset + (offset < 0 ? variablesEnd : first);
        return [from, from + size];
      }),
    };
  }

  /** null where a map is missing, as of much code in assembly language. */
  #words(point: CodePoint, variablesEnd: number, firstArgument: number, argumentBytes: number): Int32Array | null {
    const locals = variablesEnd > this.#leastLocals ? this.#mapped(point, 'locals') : { words: 0, set: [] };
    const arguments_ = argumentBytes > 0 ? this.#mapped(point, 'arguments') : { words: 0, set: [] };
    if (locals === null || arguments_ === null) return null;
    const firstLocal = variablesEnd - WORD * locals.words;
    if (firstLocal < 0) return null;
    return Int32Array.from([
      ...locals.set.map((word) => firstLocal + WORD * word),
      ...arguments_.set.map((word) => firstArgument + WORD * word),
    ]);
  }

  #mapped({ table, func, pc }: CodePoint, part: MappedPart): { readonly words: number; readonly set: number[] } | null {
    const map = onFault(
      () => pointerMap(this.#memory, this.#program.layouts.release, table, func, pc, part),
      () => null,
    );
    if (map === null) return null;
    const set = Array.from({ length: map.words }, (_, word) => word).filter((word) => isPointer(map, word));
    return { words: map.words, set };
  }
}

/** The g of a goroutine has the panic that it is in, or 0. */
export function panicOf({ memory, layouts }: GoProgram, g: Addr): Addr {
  return onFault(
    () => memory.ptr(g, layouts.of('g').offset('_panic')),
    () => NIL,
  );
}
