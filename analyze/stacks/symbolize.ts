import { plus } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';

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

/** Numbers of PCDATA_InlTreeIndex and FUNCDATA_InlTree (internal/abi/symtab.go; cmd/internal/objabi before 1.21). */
function inlineTables(minor: number): { pcdata: number; funcdata: number } {
  if (minor <= 12) return { pcdata: 1, funcdata: 2 };
  return { pcdata: 2, funcdata: minor <= 15 ? 4 : 3 };
}

/** Calls inlined into one another; the compiler nests them less deep. */
const MAX_INLINED = 256;
const UNKNOWN_FILE = '?';

/** Finds functions, files and lines by code address, with inlined calls unfolded (runtime/symtabinl.go). */
export class Symbolizer {
  readonly #memory: Memory;
  readonly #minor: number;
  readonly #tables: { pcdata: number; funcdata: number };
  readonly #printed = new Map<string, string>();

  constructor(memory: Memory, minor: number) {
    this.#memory = memory;
    this.#minor = minor;
    this.#tables = inlineTables(minor);
  }

  /**
   * The lines at `pc` in `func`, innermost first. For a return address, pass one less than it. Throws MemoryFault where
   * the tables are absent.
   */
  lines(table: FunctionTable, func: Func, pc: number): CodeLine[] {
    const tree = table.funcdata(func, this.#tables.funcdata);
    const lines: CodeLine[] = [];
    let at = pc;
    let place = this.#place(table, func, at);
    let index = tree === null ? -1 : table.pcdata(func, this.#tables.pcdata, at);
    while (tree !== null && index >= 0 && lines.length < MAX_INLINED) {
      if (this.#minor >= 20) {
        const call = plus(tree, 16 * index);
        const name = table.nameAt(this.#memory.u32(call, 4));
        lines.push({ name, ...place, funcID: this.#memory.u8(call), inlined: true });
        at = func.entry + this.#memory.u32(call, 8);
        place = this.#place(table, func, at);
        index = table.pcdata(func, this.#tables.pcdata, at);
      } else {
        const call = plus(tree, 20 * index);
        const name = table.nameAt(this.#memory.u32(call, 12));
        lines.push({ name, ...place, funcID: this.#memory.u8(call, 2), inlined: true });
        place = { file: table.file(func, this.#memory.i32(call, 4)), line: this.#memory.i32(call, 8) };
        index = (this.#memory.u16(call) << 16) >> 16;
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
    const printed = this.#minor >= 27 ? shortenEach(name) : shortenAll(name);
    this.#printed.set(name, printed);
    return printed;
  }

  #place(table: FunctionTable, func: Func, pc: number): { file: string; line: number } {
    const file = table.value(func, 'pcfile', pc);
    const line = table.value(func, 'pcln', pc);
    return { file: file === null ? UNKNOWN_FILE : table.file(func, file), line: line ?? 0 };
  }
}

/** funcNameForPrint (runtime/traceback.go) up to 1.26: from the first `[` to the last `]`. */
function shortenAll(name: string): string {
  const open = name.indexOf('[');
  const close = name.lastIndexOf(']');
  return close <= open ? name : `${name.slice(0, open)}[...]${name.slice(close + 1)}`;
}

/** From 1.27: each outermost pair of brackets by itself, as in `main.(*pair[...]).convert[...]`. */
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
