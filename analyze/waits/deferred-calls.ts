import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import { DeferReader } from '../runtime/defer-records.js';
import type { G } from '../runtime/goroutine.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { CPUS } from './cpus.js';
import { Remembered } from './remembered.js';

/** A call that a function has deferred and that is still to come. */
export interface DeferredCall {
  /** The funcval: the address of the code, followed by what it has captured. */
  readonly closure: Addr;
  /** The arguments that were saved for it, word by word. */
  readonly saved: readonly number[];
  /** The stack pointer of the frame that deferred it. */
  readonly sp: number;
}

/** Calls that the compiler codes into a function (maxOpenDefers in cmd/compile), and words of their arguments. */
const MAX_OPEN = 8;
const MAX_ARGUMENTS = 64;
const WORD = 8;
/** Bytes between a function's variables and the stack pointer at its entry: the caller's frame pointer (frame.varp in runtime/stkframe.go). */
const BELOW_ENTRY = WORD;

/** Finds deferred calls that are pending: in the records of a goroutine, and in frames of functions that have them coded in. */
export class DeferredCalls {
  readonly #program: GoProgram;
  readonly #records: DeferReader;
  /** By pc: where the list of a function's coded calls lies; null for nearly all. */
  readonly #lists = new Remembered<CodePoint, CodedList | null>((point) => this.#findList(point), null);

  constructor(program: GoProgram) {
    this.#program = program;
    this.#records = new DeferReader(program);
  }

  /** True for a goroutine that has records of deferred calls, or of which that is not known. */
  hasRecords(g: Addr): boolean {
    return onFault(
      () => this.#records.first(g) !== 0,
      () => true,
    );
  }

  /** The calls in records that are still to come, the latest first, as far as they can be read. */
  recorded({ addr }: G): DeferredCall[] {
    const out: DeferredCall[] = [];
    for (const record of this.#records.of(addr)) {
      if (record.fn === 0 || record.started) continue;
      const saved = onFault(
        () => this.#records.saved(record),
        () => [],
      );
      out.push({ closure: record.fn, saved, sp: record.sp });
    }
    return out;
  }

  /** True for a place in a function that has deferred calls coded in. */
  hasCoded(point: CodePoint): boolean {
    return this.#lists.at(point.pc, point) !== null;
  }

  /**
   * The calls that the compiler coded into the function of a frame, as far as their bits are set: `lists` of openDefers in
   * releases.ts. Throws MemoryFault.
   */
  coded({ point, sp, fp }: PhysicalFrame): DeferredCall[] {
    const list = this.#lists.at(point.pc, point);
    const openDefers = this.#program.layouts.release.openDefers;
    if (list === null || openDefers === null) return [];
    const { memory } = this.#program;
    const variables = fp - CPUS[this.#program.image.arch].pushed - BELOW_ENTRY;
    const bits = memory.u8((variables - list.bits) as Addr);
    if (bits === 0) return [];
    const next = varints(memory, list.addr);
    if (openDefers.lists === 'arguments') next();
    next();
    if (openDefers.lists === 'array') {
      const first = variables - next();
      const pending = Array.from({ length: MAX_OPEN }, (_, i) => i).filter((i) => ((bits >>> i) & 1) === 1);
      return pending.map((i) => ({ closure: memory.ptr((first + WORD * i) as Addr), saved: [], sp }));
    }
    const out: DeferredCall[] = [];
    const count = next();
    // The last one comes first (runOpenDeferFrame in panic.go).
    for (let i = Math.min(count, MAX_OPEN) - 1; i >= 0; i--) {
      if (openDefers.lists === 'arguments') next();
      const at = (variables - next()) as Addr;
      const isPending = ((bits >>> i) & 1) === 1;
      const saved = openDefers.lists === 'arguments' ? this.#arguments(next, variables, isPending) : [];
      if (isPending) out.push({ closure: memory.ptr(at), saved, sp });
    }
    return out;
  }

  /** The words of arguments: of each, where it lies in the frame, its size, and where it goes in the call. */
  #arguments(next: () => number, variables: number, isPending: boolean): number[] {
    const { memory } = this.#program;
    const saved: number[] = [];
    const count = Math.min(next(), MAX_ARGUMENTS);
    for (let i = 0; i < count; i++) {
      const at = variables - next();
      const words = Math.min(MAX_ARGUMENTS, Math.floor(next() / WORD));
      const to = next() / WORD;
      if (!isPending || !Number.isInteger(to) || to > MAX_ARGUMENTS) continue;
      for (let k = 0; k < words; k++) saved[to + k] = memory.word((at + WORD * k) as Addr);
    }
    return saved;
  }

  #findList({ func, table }: CodePoint): CodedList | null {
    const { memory, layouts } = this.#program;
    const { openDefers } = layouts.release;
    const addr = openDefers === null ? null : table.funcdata(func, openDefers.funcdata);
    if (openDefers === null || addr === null) return null;
    const next = varints(memory, addr);
    if (openDefers.lists === 'arguments') next();
    return { addr, bits: next() };
  }
}

/** What the compiler says of the calls that it coded into a function, and where in the frame their bits lie. */
interface CodedList {
  readonly addr: Addr;
  readonly bits: number;
}

/** Reads unsigned numbers of variable length, one after another (readvarintUnsafe in runtime/panic.go). */
function varints(memory: Memory, start: Addr): () => number {
  let at = start;
  return () => {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
      const byte = memory.u8(at);
      at = plus(at, 1);
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    throw new MemoryFault(start, 'a number that does not end');
  };
}
