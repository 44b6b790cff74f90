import { plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import type { ArgumentInfo, GoRelease } from '../runtime/releases.js';
import { isPointer, pointerMap } from './pointer-maps.js';
import { MAX_INLINED } from './symbolize.js';

/** A value that a traceback prints in an argument list. */
export interface ArgumentSlot {
  /** In bytes, from the first argument (see frame-arguments.ts). */
  readonly offset: number;
  /** At most 8. */
  readonly sizeBytes: number;
  /**
   * True where it was written and holds the argument still; false where a traceback marks it with `?`; null where nothing
   * tells (Go 1.17).
   */
  readonly live: boolean | null;
  /** Whether the garbage collector takes it for a pointer here; null where no map tells. */
  readonly pointer: boolean | null;
}

/** What a traceback prints between the parentheses of a frame, but for the values. */
export interface ArgumentList {
  readonly slots: readonly ArgumentSlot[];
  /** What is printed before each value, and last what is printed at the end. */
  readonly texts: readonly string[];
}

/** An argument as it is printed: one word, by its index in the slots, or what stands in braces; null for what is left out. */
export type PrintedArgument = number | readonly PrintedArgument[] | null;

/** The arguments in a list. Before 1.17, where there are no braces, each word counts as one. */
export function printedArguments({ texts }: ArgumentList): PrintedArgument[] {
  const all: PrintedArgument[] = [];
  const open = [all];
  texts.forEach((text, slot) => {
    for (const [token] of text.matchAll(/[{}_]|\.\.\./g)) {
      if (token === '{') {
        const inner: PrintedArgument[] = [];
        open.at(-1)?.push(inner);
        open.push(inner);
      } else if (token !== '}') open.at(-1)?.push(null);
      else if (open.length > 1) open.pop();
    }
    if (slot < texts.length - 1) open.at(-1)?.push(slot);
  });
  return all;
}

/** The list of a function, but for what depends on the pc. */
interface Shape {
  readonly slots: readonly Pick<ArgumentSlot, 'offset' | 'sizeBytes'>[];
  readonly texts: readonly string[];
  /** The bit of each slot in the bitmaps of live ones; -1 for slots that are always live. */
  readonly bits: readonly number[];
  /** Bitmaps follow at offsets from here; null where the function has none. */
  readonly bitmaps: Addr | null;
}

/** Operators in FUNCDATA_ArgInfo: TraceArgs in internal/abi/type.go; printArgs in runtime/traceback.go before 1.24. */
const END = 0xff;
const OPEN = 0xfe;
const CLOSE = 0xfd;
const MORE = 0xfc;
const TOO_FAR = 0xfb;
/** Bytes of FUNCDATA_ArgInfo (TraceArgsMaxLen). */
const MAX_INFO = 171;
/** Words that a traceback prints before 1.17. */
const MAX_WORDS = 10;

/** Reads the argument lists of functions. What is the same at all places of a function is worked out once. */
export class ArgumentLists {
  readonly #memory: Memory;
  readonly #release: GoRelease;
  readonly #arch: Arch;
  readonly #shapes = new Map<Func, Shape>();

  constructor(memory: Memory, release: GoRelease, arch: Arch) {
    this.#memory = memory;
    this.#release = release;
    this.#arch = arch;
  }

  /** The list at `pc`; `trap` is true where that is the next instruction, false for a return address. Throws MemoryFault where the tables are absent. */
  at(table: FunctionTable, func: Func, pc: number, trap: boolean): ArgumentList {
    let shape = this.#shapes.get(func);
    if (shape === undefined) this.#shapes.set(func, (shape = this.#shape(table, func)));
    const { slots, texts, bits, bitmaps } = shape;
    if (slots.length === 0) return { slots: [], texts };
    const index = this.#bitmap(table, func, trap || pc <= func.entry ? pc : pc - 1);
    const map = onFault(
      () => pointerMap(this.#memory, this.#release, table, func, pc, 'arguments'),
      () => null,
    );
    const dead = bits.map((bit) => {
      if (bitmaps === null || index <= 0 || bit < 0) return false;
      return ((this.#memory.u8(bitmaps, index + (bit >> 3)) >> (bit & 7)) & 1) === 0;
    });
    return {
      slots: slots.map((slot, i) => {
        const word = slot.offset / 8;
        const pointer = map === null ? null : slot.sizeBytes === 8 && Number.isInteger(word) && isPointer(map, word);
        const live = this.#tellsLive || pointer === true ? dead[i] !== true : null;
        return { ...slot, live, pointer };
      }),
      texts: texts.map((text, i) => (dead[i - 1] === true ? `?${text}` : text)),
    };
  }

  /** False where places to which registers are spilled are printed, and nothing tells which of them are written. */
  get #tellsLive(): boolean {
    const { argumentInfo, registerArguments } = this.#release;
    return argumentInfo?.liveness !== null || !registerArguments[this.#arch];
  }

  #shape(table: FunctionTable, func: Func): Shape {
    const info = this.#release.argumentInfo;
    return info === null ? allWords(table, func) : this.#printed(table, func, info);
  }

  /** printArgs of runtime/traceback.go (1.17 and newer). */
  #printed(table: FunctionTable, func: Func, { funcdata, liveness }: ArgumentInfo): Shape {
    const at = table.funcdata(func, funcdata);
    const bitmaps = liveness === null ? null : table.funcdata(func, liveness.funcdata);
    const slots: Shape['slots'][number][] = [];
    const bits: number[] = [];
    const texts: string[] = [];
    if (at === null) return { slots, texts: [''], bits, bitmaps };
    const alwaysBelow = bitmaps === null ? Infinity : this.#memory.u8(bitmaps);
    let text = '';
    let first = true;
    let spilled = 0;
    for (let i = 0; i < MAX_INFO; i++) {
      const op = this.#memory.u8(at, i);
      if (op === END) break;
      if (op !== CLOSE && !first) text += ', ';
      first = op === OPEN;
      if (op === OPEN) text += '{';
      else if (op === CLOSE) text += '}';
      else if (op === MORE) text += '...';
      else if (op === TOO_FAR) text += '_';
      else {
        texts.push(text);
        text = '';
        slots.push({ offset: op, sizeBytes: Math.min(8, this.#memory.u8(at, ++i)) });
        bits.push(op < alwaysBelow ? -1 : spilled++);
      }
    }
    return { slots, texts: [...texts, text], bits, bitmaps };
  }

  /** Which bitmap of live slots holds at `pc`, or at the outermost call inlined there. */
  #bitmap(table: FunctionTable, func: Func, pc: number): number {
    const { inlineTree, inlinedCall, argumentInfo } = this.#release;
    const liveness = argumentInfo?.liveness ?? null;
    if (liveness === null) return 0;
    const tree = liveness.at === 'pc' ? null : table.funcdata(func, inlineTree.funcdata);
    let at = pc;
    for (let depth = 0; tree !== null && depth < MAX_INLINED; depth++) {
      const index = table.pcdata(func, inlineTree.pcdata, at);
      if (index < 0) break;
      at = func.entry + this.#memory.u32(plus(tree, inlinedCall.sizeBytes * index), inlinedCall.parentPc);
    }
    return table.pcdata(func, liveness.pcdata, at);
  }
}

/** All words of the arguments and results, as gentraceback of runtime/traceback.go prints them before 1.17. */
function allWords(table: FunctionTable, func: Func): Shape {
  // A number that is not known is negative, and huge to the loop that prints (getArgInfoFast in runtime/traceback.go).
  const words = Math.floor((table.argumentBytes(func) ?? Infinity) / 8);
  const slots = Array.from({ length: Math.min(MAX_WORDS, words) }, (_, i) => ({ offset: 8 * i, sizeBytes: 8 }));
  const before = slots.map((_, i) => (i === 0 ? '' : ', '));
  return { slots, texts: [...before, words > MAX_WORDS ? ', ...' : ''], bits: slots.map(() => -1), bitmaps: null };
}
