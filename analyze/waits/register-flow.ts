import { lookedUp, storeResults } from './call-results.js';
import { successors, type Block, type Blocks } from './code-blocks.js';
import type { Callee, CodeCalls } from './code-calls.js';
import { Registers } from './code-registers.js';
import type { Value } from './code-values.js';
import { FixedPoint } from './fixed-point.js';
import type { Cpu, Instruction } from './instruction.js';

/**
 * Follows what registers and the words of the frame hold through the blocks of a function until nothing new is found: at each
 * place it is what all paths that lead there agree on.
 */
export class RegisterFlow {
  readonly blocks: Blocks;
  readonly fixedPoint: FixedPoint;
  readonly #cpu: Cpu;
  readonly #code: DataView;
  readonly #calls: CodeCalls;
  readonly #instruction: Instruction;
  /** Offsets in the frame whose address some code has taken. */
  readonly #escaped = new Set<number>();
  readonly #states = new Map<number, Registers>();
  /** What the functions that it calls do, by address. */
  readonly #callees = new Map<number, Callee>();
  /** What holds on every path to the function's end; null where it has none. */
  #atReturn: Registers | null = null;

  /** `instruction` decodes the code. */
  constructor(cpu: Cpu, code: DataView, instruction: Instruction, blocks: Blocks, calls: CodeCalls) {
    this.blocks = blocks;
    this.fixedPoint = new FixedPoint(blocks);
    this.#cpu = cpu;
    this.#code = code;
    this.#instruction = instruction;
    this.#calls = calls;
  }

  /** Returns false for a function that takes too many steps. */
  run(): boolean {
    for (let known = -1; known !== this.#escaped.size;) {
      known = this.#escaped.size;
      this.#states.clear();
      const entry = Registers.atEntry(this.#cpu);
      if (!this.fixedPoint.find(this.#states, entry, (block, before) => this.#after(block, before))) return false;
    }
    for (const block of this.blocks.values()) this.#findReturn(block);
    return true;
  }

  /** The block with an offset. */
  blockAt(offset: number): Block | null {
    for (const block of this.blocks.values()) if (offset >= block.start && offset < block.end) return block;
    return null;
  }

  /** What holds where a block begins, as a copy; null where control never comes to it. */
  atStart(block: Block): Registers | null {
    return this.#states.get(block.start)?.copy() ?? null;
  }

  /** What holds before the instruction at an offset; null where control never comes to it. */
  before(offset: number): Registers | null {
    return this.#at(offset, (i) => i.at === offset);
  }

  /** What holds during the call that ends at an offset; null where control never comes to it, and where none does. */
  duringCall(offset: number): Registers | null {
    const i = this.#instruction;
    const registers = this.#at(offset - 1, () => i.end === offset);
    if (registers === null || (i.flow !== 'call' && i.flow !== 'call-indirect')) return null;
    this.step(registers, i);
    return registers;
  }

  /** What holds before the instruction that `isIt`, in the block with an offset. */
  #at(offset: number, isIt: (i: Instruction) => boolean): Registers | null {
    const block = this.blockAt(offset);
    const registers = block === null ? null : this.atStart(block);
    if (block === null || registers === null) return null;
    const i = this.#instruction;
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end) {
      if (isIt(i)) return registers;
      this.step(registers, i);
    }
    return null;
  }

  /** What the function returns, as far as that is known: by register, or by bytes from the stack pointer at its entry. */
  get results(): Iterable<readonly [at: number, value: Value]> {
    const registers = this.#atReturn;
    if (registers === null) return [];
    if (!this.#calls.inRegisters) return [...registers.slots].filter(([at, value]) => at > 0 && !isArgument(value, at));
    return this.#cpu.results.flatMap((at) => {
      const value = registers.get(at);
      return value === null ? [] : [[at, value] as const];
    });
  }

  /** What the function at an offset does that is called. */
  callee(target: number): Callee {
    let known = this.#callees.get(target);
    if (known === undefined) this.#callees.set(target, (known = this.#calls.callee(target)));
    return known;
  }

  /** Those that were called. */
  get callees(): Iterable<Callee> {
    return this.#callees.values();
  }

  /** Changes registers as an instruction does. */
  step(registers: Registers, i: Instruction): void {
    if (i.flow === 'next') i.step(registers, this.#escaped);
    if (i.flow !== 'call' && i.flow !== 'call-indirect') return;
    const { argumentBytes, changed } = this.#calls;
    const callee = i.flow === 'call' ? this.callee(i.target) : null;
    if (callee?.isBarrier === true) {
      for (const register of this.#cpu.changedByBarrier) registers.set(register, null);
      return;
    }
    const { looksUp = null, summary = null } = callee ?? {};
    // A copy makes the first change of the frame's words copy them all.
    const before = looksUp === null && summary === null ? registers : registers.copy();
    registers.call(this.#escaped, changed, callee?.argumentBytes ?? argumentBytes, `${i.at}`);
    if (looksUp !== null && this.#calls.inRegisters)
      registers.set(this.#cpu.first, lookedUp(this.#cpu, before, looksUp) ?? registers.get(this.#cpu.first));
    if (summary !== null)
      storeResults(this.#cpu, this.#calls.inRegisters, { registers: before, instruction: i }, registers, summary);
  }

  #after(block: Block, before: Registers): (readonly [number, Registers])[] {
    const registers = before.copy();
    this.#stepThrough(block, registers);
    return successors(block).map((to) => [to, registers]);
  }

  #stepThrough(block: Block, registers: Registers): void {
    const i = this.#instruction;
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end) this.step(registers, i);
  }

  #findReturn(block: Block): void {
    const registers = block.next === null && block.taken.length === 0 ? this.atStart(block) : null;
    if (registers === null) return;
    this.#stepThrough(block, registers);
    if (this.#instruction.flow === 'return')
      this.#atReturn = this.#atReturn?.joined(registers, 'return') ?? this.#atReturn ?? registers;
  }
}

/** Whether a word of the stack is still what the function was given there. */
function isArgument({ origin: { kind, number }, offset }: Value, at: number): boolean {
  return kind === 'argument' && number === at && offset === 0;
}
