import { plus } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import type { GoRelease } from '../runtime/releases.js';

/** One line of a stack as a traceback shows it. A physical frame has one, and one more for each call inlined into it. */
export interface CodeLine {
  /** The function, as the linker names it. */
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly funcID: number;
  /** True for a call that was inlined into the frame: for all its lines but the last. */
  readonly inlined: boolean;
}

/** Calls inlined into one another; the compiler nests them less deep. */
export const MAX_INLINED = 256;
/** The file of a line whose place is not known. */
export const UNKNOWN_FILE = '?';

/** Finds functions, files and lines by code address, with inlined calls unfolded (runtime/symtabinl.go). */
export class Symbolizer {
  readonly #memory: Memory;
  readonly #release: GoRelease;
  readonly #printed = new Map<string, string>();

  constructor(memory: Memory, release: GoRelease) {
    this.#memory = memory;
    this.#release = release;
  }

  /**
   * The lines at `pc` in `func`, innermost first. For a return address, pass one less than it. Throws MemoryFault where
   * the tables are absent.
   */
  lines(table: FunctionTable, func: Func, pc: number): CodeLine[] {
    const { inlineTree, inlinedCall } = this.#release;
    const tree = table.funcdata(func, inlineTree.funcdata);
    const lines: CodeLine[] = [];
    let at = pc;
    let place = this.#place(table, func, at);
    let index = tree === null ? -1 : table.pcdata(func, inlineTree.pcdata, at);
    while (tree !== null && index >= 0 && lines.length < MAX_INLINED) {
      const call = plus(tree, inlinedCall.sizeBytes * index);
      const ownName = table.nameAt(this.#memory.u32(call, inlinedCall.name));
      const name = table.nameGiver?.inlined(ownName, place.file) ?? ownName;
      lines.push({ name, ...place, funcID: this.#memory.u8(call, inlinedCall.funcID), inlined: true });
      if ('parent' in inlinedCall) {
        const { parent, file, line } = inlinedCall;
        place = { file: table.file(func, this.#memory.i32(call, file)), line: this.#memory.i32(call, line) };
        index = (this.#memory.u16(call, parent) << 16) >> 16;
      } else {
        at = func.entry + this.#memory.u32(call, inlinedCall.parentPc);
        place = this.#place(table, func, at);
        index = table.pcdata(func, inlineTree.pcdata, at);
      }
    }
    lines.push({ name: func.name, ...place, funcID: func.funcID, inlined: false });
    return lines;
  }

  /** A function's name as a traceback prints it: type arguments, which Go 1.21 and newer keep, become `[...]`. */
  printedName(name: string): string {
    if (!name.includes('[')) return name;
    const known = this.#printed.get(name);
    if (known !== undefined) return known;
    const printed = this.#release.shortens === 'each pair of brackets' ? shortenEach(name) : shortenAll(name);
    this.#printed.set(name, printed);
    return printed;
  }

  #place(table: FunctionTable, func: Func, pc: number): { file: string; line: number } {
    const file = table.value(func, 'pcfile', pc);
    const line = table.value(func, 'pcln', pc);
    return { file: file === null ? UNKNOWN_FILE : table.file(func, file), line: line ?? 0 };
  }
}

/** Shortens from the first `[` to the last `]` (funcNamePiecesForPrint in runtime/traceback.go). */
function shortenAll(name: string): string {
  const open = name.indexOf('[');
  const close = name.lastIndexOf(']');
  return close <= open ? name : `${name.slice(0, open)}[...]${name.slice(close + 1)}`;
}

/** Shortens each outermost pair of brackets by itself, as in `main.(*pair[...]).convert[...]`. */
function shortenEach(name: string): string {
  let out = '';
  let depth = 0;
  for (const c of name) {
    if (c === '[' && depth++ === 0) out += '[...]';
    if (depth === 0) out += c;
    if (c === ']') depth = Math.max(0, depth - 1);
  }
  return out;
}
