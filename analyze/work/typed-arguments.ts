import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import { printedArguments, type PrintedArgument } from '../stacks/argument-list.js';
import type { ArgumentWord } from '../stacks/frame-arguments.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { GoType } from '../types/type-reader.js';
import type { Value, Values } from '../types/values.js';
import { liveWord } from './stack-call.js';

/** What tells the type of an argument. */
export type TypeSource =
  /** The function is a method of it. */
  | 'receiver'
  /** It is an interface: its first word is an itab, or a type. */
  | 'interface'
  /** The function is one of the runtime's on channels. */
  | 'channel'
  /** It has the shape of a string, and leads to text. */
  | 'text'
  /** The user says so. */
  | 'given';

/** An argument of a call. */
export interface Argument {
  /** Its words, in order; those that are printed. */
  readonly words: readonly ArgumentWord[];
  /** null where nothing tells what it is, or it is not live. */
  readonly typed: TypedArgument | null;
}

export interface TypedArgument {
  readonly source: TypeSource;
  readonly value: Value;
  /** True where the value is what the argument leads to; false where it is the argument. */
  readonly isTarget: boolean;
  /** True where the garbage collector follows the argument here, so that what it leads to was not freed. */
  readonly isKept: boolean;
}

/** A method as the linker names it: package, type, method. Closures, generic types and method values have other names. */
const POINTER_METHOD = /^(.+)\.\(\*([\p{L}\p{N}_]+)\)\.([\p{L}\p{N}_]+)$/u;
const VALUE_METHOD = /^((?:.*\/)?[^./]+)\.([\p{L}\p{N}_]+)\.([\p{L}\p{N}_]+)$/u;
/** Functions of runtime/chan.go whose first argument is a channel. */
const OF_CHANNELS = /^runtime\.(?:chanrecv[12]?|chansend1?|closechan)$/;
/** What a string may consist of: printable characters, and the ends of lines. */
const TEXT = /^(?:(?!\ufffd)[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}\t\n\r])+$/u;
const MAX_TEXT = 2 ** 20;

/** Finds out the types of the arguments of calls, as far as a program without debug information tells them. */
export class TypedArguments {
  readonly #program: GoProgram;
  readonly #values: Values;
  /** True where nothing tells which words are one argument. */
  readonly #isWordByWord: boolean;

  constructor(program: GoProgram, values: Values) {
    this.#program = program;
    this.#values = values;
    this.#isWordByWord = program.layouts.release.argumentInfo === null;
  }

  /** The arguments of a frame, as far as they are printed; null where the tables or the values are absent. */
  of(frame: PhysicalFrame): Argument[] | null {
    const words = this.#program.frameArguments.words(frame);
    const list = frame.point.argumentList(frame.trap);
    if (words === null || list === null) return null;
    const all = printedArguments(list).map((printed) => ({
      words: slotsIn(printed).flatMap((slot) => words[slot] ?? []),
      isWhole: isWhole(printed),
    }));
    return all.map((argument, i) => ({
      words: argument.words,
      typed: onFault<TypedArgument | null, null>(
        () => this.#typed(frame.point.func.name, i, argument.words, argument.isWhole, all[i + 1]?.words ?? []),
        () => null,
      ),
    }));
  }

  #typed(
    func: string,
    index: number,
    words: readonly ArgumentWord[],
    isWhole: boolean,
    next: readonly ArgumentWord[],
  ): TypedArgument | null {
    const [first] = words;
    if (first === undefined || !isWhole) return null;
    const own = index > 0 ? null : (this.#receiver(func, words, first) ?? this.#channel(func, first));
    if (own !== null) return own;
    const pair = this.#isWordByWord ? [first, ...next] : words;
    const [, second] = pair;
    return second === undefined || pair.length > 2
      ? null
      : (this.#interface(first, second) ?? this.#text(first, second));
  }

  #receiver(func: string, words: readonly ArgumentWord[], first: ArgumentWord): TypedArgument | null {
    const { types } = this.#values;
    const byPointer = POINTER_METHOD.exec(func);
    const [, path = '', name = '', method = ''] = byPointer ?? VALUE_METHOD.exec(func) ?? [];
    const named = name === '' ? null : this.#values.index.named(`${unescaped(path)}.${name}`);
    const type = named === null || byPointer === null ? named : types.pointerTo(named);
    if (type === null || !types.hasMethod(type, method)) return null;
    const value = { type, addr: first.addr };
    if (byPointer !== null) {
      const word = liveWord(first);
      return word === null || words.length > 1
        ? null
        : { source: 'receiver', value, isTarget: false, isKept: word.mapped };
    }
    if (this.#isWordByWord) return { source: 'receiver', value, isTarget: false, isKept: type.pointerBytes === 0 };
    const end = words.reduce((most, { addr, sizeBytes }) => Math.max(most, addr + sizeBytes), 0);
    if (words.some((word) => word.live !== true) || end > first.addr + type.sizeBytes) return null;
    return { source: 'receiver', value, isTarget: false, isKept: type.pointerBytes === 0 };
  }

  #channel(func: string, first: ArgumentWord): TypedArgument | null {
    const word = OF_CHANNELS.test(func) ? liveWord(first) : null;
    if (word === null || word.value === 0) return null;
    const at = this.#program.layouts.of('hchan').offset('elemtype');
    const elem = this.#values.types.at(this.#values.memory.ptr(word.value, at));
    if (elem === null) return null;
    return {
      source: 'channel',
      value: { type: channelOf(elem), addr: first.addr },
      isTarget: false,
      isKept: word.mapped,
    };
  }

  #interface(first: ArgumentWord, second: ArgumentWord): TypedArgument | null {
    const [head, data] = [liveWord(first), liveWord(second)];
    // The first word of an interface is never in the heap: the collector does not follow it.
    if (head === null || data === null || head.mapped || head.value === 0 || second.addr !== first.addr + 8)
      return null;
    const { types, memory } = this.#values;
    const hasMethods = types.ofInterface(head.value, true) !== null;
    if (!hasMethods && (types.ofInterface(head.value, false) === null || (this.#isWordByWord && !data.mapped)))
      return null;
    const type = hasMethods ? types.at(memory.ptr(head.value)) : this.#values.index.named('interface {}');
    if (type === null) return null;
    return { source: 'interface', value: { type, addr: first.addr }, isTarget: false, isKept: data.mapped };
  }

  #text(first: ArgumentWord, second: ArgumentWord): TypedArgument | null {
    const [data, length] = [liveWord(first), liveWord(second)];
    if (data === null || length === null || length.mapped || second.addr !== first.addr + 8) return null;
    const type = this.#values.index.named('string');
    if (type === null || data.value === 0 || length.value === 0 || length.value > MAX_TEXT) return null;
    if (!TEXT.test(this.#values.stringAt(data.value, length.value))) return null;
    return { source: 'text', value: { type, addr: first.addr }, isTarget: false, isKept: false };
  }
}

/** The words that are printed of an argument. */
function slotsIn(printed: PrintedArgument): number[] {
  if (printed === null) return [];
  return typeof printed === 'number' ? [printed] : printed.flatMap(slotsIn);
}

/** False where a part of an argument is not printed. */
function isWhole(printed: PrintedArgument): boolean {
  return printed !== null && (typeof printed === 'number' || printed.every(isWhole));
}

/** The type of channels of some values, which a program need not have a descriptor of. */
function channelOf(elem: GoType): GoType {
  return {
    ...{ addr: 0 as Addr, kind: 'chan', sizeBytes: 8, pointerBytes: 8, hash: 0, isDirect: true },
    ...{ elem: elem.addr, name: `chan ${elem.name}` },
  };
}

/** The path of a package without the linker's escapes: objabi.PathToPrefix in cmd/internal/objabi/path.go. */
function unescaped(path: string): string {
  return path.replace(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}
