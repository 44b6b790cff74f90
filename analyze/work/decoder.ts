import type { Addr } from '../../snapshots/address.js';
import type { Work } from '../../snapshots/work.js';
import type { GoType } from '../types/type-reader.js';
import type { Value, Values } from '../types/values.js';

/** What a decoder finds. `shape` is the text without what only {@link ValueLevel} `full` keeps. */
export interface Found extends Omit<Work, 'kind' | 'sure'> {
  readonly shape: string;
}

/** An argument that is live: the slot was written, and holds it still. */
export interface LiveWord {
  readonly value: Addr;
  /** True where the garbage collector takes it for a pointer here: it keeps what it points at. */
  readonly mapped: boolean;
}

/** An interface with methods among the arguments that holds a value, not nil. */
export interface InterfaceWord extends LiveWord {
  /** The type of the value; if it is a pointer, {@link LiveWord.value} is that, else the address of the value. */
  readonly type: GoType;
}

/** A call on a stack as a decoder sees it. */
export interface Call {
  /** The function, as the linker names it. */
  readonly func: string;
  /** The function of the physical frame that called it; empty where there is none. */
  readonly caller: string;
  /** The printed argument at an index; null where it is not live, or nothing tells. */
  word(index: number): LiveWord | null;
  /** The interfaces among the arguments. */
  interfaces(): Iterable<InterfaceWord>;
  /** All calls on its stack, of physical frames, the innermost first. */
  stack(): Iterable<Call>;
  /** Words of the frame that may be addresses: what the call keeps, and what earlier calls left there. Nothing of it is sure. */
  frameWords(): Iterable<Addr>;
}

/**
 * Reads one kind of work from calls of certain functions. It states all that it stands on: functions, the positions of their
 * arguments, and fields of types by name. Where a version of a library has others, reading them throws MemoryFault.
 */
export interface Decoder {
  readonly kind: string;
  /** True for functions, by the names that the linker gives them, that {@link decode} may be asked about. */
  handles(func: string): boolean;
  /** True if it reads nothing but {@link Call.interfaces}: it is not asked about places whose arguments have none. */
  readonly needsInterface?: true;
  /** null where the call tells nothing. Throws MemoryFault where something is absent or other than expected. */
  decode(call: Call, values: Values): { readonly found: Found; readonly sure: boolean } | null;
}

/** What an interface that holds a pointer leads to; null for one that holds another value. */
export function pointedTo({ type, value }: InterfaceWord, values: Values): Value | null {
  const to = type.kind === 'ptr' ? values.types.at(type.elem) : null;
  return to === null ? null : { type: to, addr: value };
}

/** A method of a pointer, as the linker names it; closures in it are named after it, and have other arguments. */
const METHOD = /^(.+)\.\(\*([^().]+)\)\.[^.\-()]+$/;

/** The type to which the receiver of a method points, by its name; null for other functions. */
export function receiverType(func: string): string | null {
  const [, path, name] = METHOD.exec(func) ?? [];
  // Dots in the last part of a path are escaped in names of functions (objabi.PathToPrefix).
  return path === undefined || name === undefined ? null : `${path.replaceAll('%2e', '.')}.${name}`;
}

/** The receiver of a method that has a pointer for it: the name of its type, and its address. null where it is not live. */
export function receiverOf(call: Call): { readonly type: string; readonly word: LiveWord } | null {
  const type = receiverType(call.func);
  const word = type === null ? null : call.word(0);
  return type === null || word === null ? null : { type, word };
}

/** The one value that `read` finds by words of a call's frame; null where there are several. It is only probable. */
export function onlyOne(values: Values, call: Call, read: (word: Addr) => Value | null): Value | null {
  let found: Value | null = null;
  for (const word of call.frameWords()) {
    const value = values.attempt(() => read(word));
    if (value === null || value.addr === found?.addr) continue;
    if (found !== null) return null;
    found = value;
  }
  return found;
}

/** The string that a path of fields leads to; empty where a pointer on the way is nil. Throws MemoryFault. */
export function textOf(values: Values, struct: Value, path: string): string {
  const value = values.get(struct, path);
  return value === null ? '' : values.string(value);
}

/** Longest text that is shown of one string, in characters. */
const MAX_TEXT = 256;

/** A text in one line, cut where it is too long. */
export function shown(text: string): string {
  const line = text.replace(/[\s\u0000-\u001f\u007f]+/g, ' ').trim();
  if (line.length <= MAX_TEXT) return line;
  // Half a character at the cut would be no text for most readers of JSON.
  return `${line.slice(0, MAX_TEXT).replace(/[\ud800-\udbff]$/, '')}...`;
}
