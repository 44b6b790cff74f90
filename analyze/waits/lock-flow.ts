import { RAX, Instruction } from './amd64.js';
import type { Block, Blocks } from './code-blocks.js';
import { Registers, RegisterSteps } from './code-registers.js';
import { keyOf, seenFrom, shifted, type Origin, type Value } from './code-values.js';
import type { CodeCalls, LockEvent, Stand } from './code-calls.js';
import { inlinedMethod, type LockCall, type Mode, type SlowPath } from './lock-functions.js';
import { LockStates, type Hold } from './lock-states.js';

/** Steps over a function, for each of its blocks: a function that takes more is given up. */
const STEPS_A_BLOCK = 64;

const CMPXCHG = 0xb1;
const XADD = 0xc1;

/**
 * Follows locks and values through the blocks of a function until nothing new is found: at each place they are what all
 * paths that lead there agree on.
 */
export class LockFlow {
  readonly #code: DataView;
  readonly #blocks: Blocks;
  readonly #calls: CodeCalls;
  readonly #steps: RegisterSteps;
  readonly #registersAt = new Map<number, Registers>();
  readonly #locksAt = new Map<number, LockStates>();
  readonly #instruction = new Instruction();
  /** What happens to locks in a block, in order. */
  readonly #events = new Map<number, readonly LockEvent[]>();
  /** Inlined methods, by the word that their atomic instruction changes: those whose slow paths are called. */
  readonly #slowPaths = new Map<string, SlowPath[]>();
  #listening: LockEvent[] | null = null;
  #tried: Tried | null = null;
  /** What has happened on every path to the function's end; null where it has none. */
  atReturn: LockStates | null = null;

  constructor(code: DataView, entry: number, blocks: Blocks, calls: CodeCalls) {
    this.#code = code;
    this.#blocks = blocks;
    this.#calls = calls;
    this.#steps = new RegisterSteps(entry);
  }

  /** Returns false for a function that takes too many steps. */
  run(): boolean {
    for (let known = -1; known !== this.#steps.escaped.size;) {
      known = this.#steps.escaped.size;
      this.#registersAt.clear();
      if (!this.#fix(this.#registersAt, Registers.atEntry(), (block, at) => this.#registersAfter(block, at)))
        return false;
    }
    for (const block of this.#blocks.values()) this.#findSlowPaths(block);
    return this.#fix(this.#locksAt, LockStates.none(), (block, at) => this.#locksAfter(block, at));
  }

  /**
   * What holds before the instruction at an offset, or during the call that ends there; null where control never comes to it.
   */
  at(offset: number, isReturn: boolean): Stand | null {
    const block = this.#blockOf(isReturn ? offset - 1 : offset);
    const registers = block === null ? null : (this.#registersAt.get(block.start)?.copy() ?? null);
    const locks = block === null ? null : (this.#locksAt.get(block.start)?.copy() ?? null);
    if (block === null || registers === null || locks === null) return null;
    this.#takeTried();
    const i = this.#instruction;
    for (let at = block.start; at < block.end; at = i.end) {
      if (!isReturn && at === offset) {
        return { registers, locks, next: this.#releasedNext(block, at), waitsFor: null };
      }
      if (!i.decode(this.#code, at)) return null;
      if (isReturn && i.end === offset) {
        if (i.flow !== 'call' && i.flow !== 'call-indirect') return null;
        const after = locks.copy();
        this.#stepLocks(registers, after, i);
        const waitsFor = this.#duringCall(registers, locks, i);
        this.#stepRegisters(registers, i);
        // What the call may still acquire is not the caller's to release yet.
        const next = this.#releasedNext(block, offset).filter((hold) => {
          return after.holds(hold.value, hold.mode) === null || locks.holds(hold.value, hold.mode) !== null;
        });
        return { registers, locks, next, waitsFor };
      }
      this.#stepLocks(registers, locks, i);
      this.#stepRegisters(registers, i);
    }
    return null;
  }

  #blockOf(offset: number): Block | null {
    for (const block of this.#blocks.values()) if (offset >= block.start && offset < block.end) return block;
    return null;
  }

  /** Goes over the blocks until the states at their starts are the same as before. */
  #fix<S extends { joined(other: S, place: string): S | null; copy(): S }>(
    states: Map<number, S>,
    entry: S,
    after: (block: Block, state: S) => readonly (readonly [to: number, state: S])[],
  ): boolean {
    let left = STEPS_A_BLOCK * (this.#blocks.size + 1);
    states.set(0, entry);
    const waiting = new Set([0]);
    for (const start of waiting) {
      if (left-- === 0) return false;
      waiting.delete(start);
      const block = this.#blocks.get(start);
      const state = states.get(start);
      if (block === undefined || state === undefined) return false;
      for (const [to, out] of after(block, state)) {
        const before = states.get(to);
        const joined = before === undefined ? out.copy() : before.joined(out, `${to}`);
        if (joined === null) continue;
        states.set(to, joined);
        waiting.add(to);
      }
    }
    return true;
  }

  #registersAfter(block: Block, before: Registers): (readonly [number, Registers])[] {
    const registers = before.copy();
    const i = this.#instruction;
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end)
      this.#stepRegisters(registers, i);
    return successors(block).map((to) => [to, registers]);
  }

  #findSlowPaths(block: Block): void {
    const registers = this.#registersAt.get(block.start)?.copy();
    const i = this.#instruction;
    for (let at = block.start; registers !== undefined && at < block.end && i.decode(this.#code, at); at = i.end) {
      const path = i.flow === 'call' ? this.#calls.callee(i.target).slowPath : null;
      const given = path === null ? null : this.#given(registers, i);
      if (path !== null && given !== null) {
        const key = keyOf(shifted(given, path.toAtomic));
        this.#slowPaths.set(key, [...(this.#slowPaths.get(key) ?? []), path]);
      }
      this.#stepRegisters(registers, i);
    }
  }

  #locksAfter(block: Block, before: LockStates): (readonly [number, LockStates])[] {
    const registers = this.#registersAt.get(block.start)?.copy();
    if (registers === undefined) return [];
    const locks = before.copy();
    const i = this.#instruction;
    this.#takeTried();
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end) {
      this.#stepLocks(registers, locks, i);
      this.#stepRegisters(registers, i);
    }
    if (block.next === null && block.taken.length === 0 && (i.flow === 'return' || i.flow === 'jump'))
      this.#return(locks);
    const tried = this.#takeTried();
    return tried === null ? successors(block).map((to) => [to, locks]) : this.#afterTry(block, locks, tried);
  }

  #takeTried(): Tried | null {
    const tried = this.#tried;
    this.#tried = null;
    return tried;
  }

  #return(locks: LockStates): void {
    this.atReturn = this.atReturn === null ? locks : (this.atReturn.joined(locks) ?? this.atReturn);
  }

  /** A TryLock has just told by a branch whether it acquired. */
  #afterTry(
    block: Block,
    locks: LockStates,
    { value, mode, place, succeeds }: Tried,
  ): (readonly [number, LockStates])[] {
    const { opcode } = this.#instruction;
    const isEqual = (opcode & 15) === 4;
    const isBranch = this.#instruction.flow === 'branch' && (isEqual || (opcode & 15) === 5);
    return successors(block).map((to, n) => {
      const out = locks.copy();
      // Of a branch, the way on comes first.
      const isZero = (n === 0) !== isEqual;
      if (!isBranch || succeeds === null) out.acquire(value, mode, place, false);
      else if (isZero === (succeeds === 'zero')) out.acquire(value, mode, place);
      return [to, out];
    });
  }

  #stepRegisters(registers: Registers, i: Instruction): void {
    if (i.flow === 'next') this.#steps.step(registers, i);
    if (i.flow !== 'call' && i.flow !== 'call-indirect') return;
    const { argumentBytes, changed } = this.#calls;
    const own = i.flow === 'call' ? this.#calls.callee(i.target).argumentBytes : null;
    registers.call(this.#steps.escaped, changed, own ?? argumentBytes);
  }

  #stepLocks(registers: Registers, locks: LockStates, i: Instruction): void {
    if (this.#tried !== null) this.#followTry(locks, i, this.#tried);
    if (i.isLocked && i.map === 1) this.#atomic(registers, locks, i);
    else if (i.flow === 'call' || (i.flow === 'jump' && (i.target < 0 || i.target >= this.#code.byteLength)))
      this.#call(registers, locks, i);
  }

  /** The atomic instruction of an inlined method. */
  #atomic(registers: Registers, locks: LockStates, i: Instruction): void {
    const at = this.#steps.address(registers, i);
    const call = this.#calls.inlined(i.at) ?? (at === null ? null : this.#bySlowPath(registers, at, i));
    if (call === null) return;
    const isKnown = call.atomicOffset !== null;
    const value = at === null || call.atomicOffset === null ? null : shifted(at, -call.atomicOffset);
    if (call.does === 'try' && isKnown && i.opcode === CMPXCHG)
      this.#try({ value, mode: call.mode, place: `${i.at}`, register: null, succeeds: 'zero' });
    else if (call.does === 'release') this.#release(locks, value, call.mode, i, isKnown);
    else this.#acquire(locks, value, call.mode, i, isKnown && call.does === 'acquire');
  }

  /** The inlined method to which an atomic instruction belongs, by its slow path, which changes the same word. */
  #bySlowPath(registers: Registers, at: Value, { opcode, reg }: Instruction): LockCall | null {
    const paths = this.#slowPaths.get(keyOf(at)) ?? [];
    const added = registers.get(reg);
    const adds = added?.origin.kind === 'address' && added.offset === 1;
    const path = paths.find(({ does, mode }) => {
      if (mode === 'read') return opcode === XADD && adds === (does === 'acquire');
      return opcode === (does === 'acquire' ? CMPXCHG : XADD);
    });
    return path === undefined ? null : inlinedMethod(path);
  }

  #call(registers: Registers, locks: LockStates, i: Instruction): void {
    const { lock, summary, runsDefers } = this.#calls.callee(i.target);
    if (runsDefers) locks.doubt(() => true);
    if (lock !== null) {
      const value = this.#receiver(registers, lock, i);
      if (lock.does === 'release') this.#release(locks, value, lock.mode, i);
      else if (lock.does === 'try')
        this.#try({ value, mode: lock.mode, place: `${i.at}`, register: RAX, succeeds: null });
      else this.#acquire(locks, value, lock.mode, i);
    } else if (summary !== null) this.#apply(registers, locks, summary, i);
  }

  #apply(registers: Registers, locks: LockStates, summary: LockStates, i: Instruction): void {
    const given = (value: Value): Value | null => seenFrom(value, (origin) => givenAs(registers, origin, i));
    for (const { value, mode, isCertain } of summary.released) this.#release(locks, given(value), mode, i, isCertain);
    if (summary.isWild) locks.doubt(() => true);
    for (const { value, mode, isCertain } of summary.held) {
      if (isCertain) this.#acquire(locks, given(value), mode, i);
    }
  }

  /** What holds while a call is under way, before it has acquired what it may wait for. Returns the latter. */
  #duringCall(registers: Registers, locks: LockStates, i: Instruction): Stand['waitsFor'] {
    const lock = i.flow === 'call' ? this.#calls.callee(i.target).lock : null;
    if (lock === null) return null;
    const value = this.#receiver(registers, lock, i);
    if (lock.does === 'release') locks.release(value, lock.mode);
    if (lock.does !== 'wait') return null;
    locks.undo(value, lock.mode);
    return { value, mode: lock.mode };
  }

  #receiver(registers: Registers, { receiverOffset }: LockCall, i: Instruction): Value | null {
    const given = this.#given(registers, i);
    return given === null ? null : shifted(given, -receiverOffset);
  }

  /** The first argument of a call. */
  #given(registers: Registers, i: Instruction): Value | null {
    return this.#calls.inRegisters ? registers.get(RAX) : argument(registers, 8, i);
  }

  #acquire(locks: LockStates, value: Value | null, mode: Mode, i: Instruction, isCertain = true): void {
    locks.acquire(value, mode, `${i.at}`, isCertain);
    this.#listening?.push({ end: i.end, does: 'acquire', value, mode });
  }

  #release(locks: LockStates, value: Value | null, mode: Mode, i: Instruction, isCertain = true): void {
    locks.release(value, mode, isCertain);
    this.#listening?.push({ end: i.end, does: 'release', value, mode });
  }

  #try(tried: Tried): void {
    this.#tried = tried;
    this.#listening?.push({ end: this.#instruction.end, does: 'acquire', value: tried.value, mode: tried.mode });
  }

  /** Follows the result of a TryLock to the branch that ends the block. */
  #followTry(locks: LockStates, i: Instruction, tried: Tried): void {
    if (i.flow === 'branch' || i.flow === 'jump') return;
    const { map, opcode, reg, rm } = i;
    if (map === 1 && opcode === 0x94 && tried.register === null && tried.succeeds === 'zero') {
      this.#tried = { ...tried, register: rm, succeeds: null };
    } else if (map === 0 && (opcode === 0x84 || opcode === 0x85) && reg === rm && rm === tried.register) {
      this.#tried = { ...tried, succeeds: 'not zero' };
    } else if (!(
      map === 0 &&
      (opcode === 0x8d || opcode === 0x90 || ((opcode === 0x8b || opcode === 0x89) && tried.register === null))
    )) {
      locks.acquire(tried.value, tried.mode, tried.place, false);
      this.#tried = null;
    }
  }

  /** Locks that some path from a place on releases before it acquires them. */
  #releasedNext(from: Block, offset: number): Hold[] {
    const found = new Map<string, Hold>();
    const seen = new Set<string>();
    const waiting: [block: Block, from: number, passed: ReadonlySet<string>][] = [[from, offset, new Set()]];
    let left = STEPS_A_BLOCK * 16;
    for (let item = waiting.pop(); item !== undefined && left-- > 0; item = waiting.pop()) {
      const [block, start, before] = item;
      const passed = new Set(before);
      for (const { end, does, value, mode } of this.#eventsOf(block)) {
        if (end <= start || value === null) continue;
        const key = `${mode} ${value.origin.key}+${value.offset}`;
        if (does === 'release' && !passed.has(key)) found.set(key, { value, mode, isCertain: false });
        passed.add(key);
      }
      for (const to of successors(block)) {
        const next = this.#blocks.get(to);
        const key = `${to} ${[...passed].sort().join()}`;
        if (next === undefined || seen.has(key)) continue;
        seen.add(key);
        waiting.push([next, to, passed]);
      }
    }
    return [...found.values()];
  }

  #eventsOf(block: Block): readonly LockEvent[] {
    const known = this.#events.get(block.start);
    if (known !== undefined) return known;
    const events: LockEvent[] = [];
    this.#listening = events;
    this.#locksAfter(block, LockStates.none());
    this.#listening = null;
    this.#events.set(block.start, events);
    return events;
  }
}

/** A TryLock whose result is not known yet. */
interface Tried {
  readonly value: Value | null;
  readonly mode: Mode;
  readonly place: string;
  /** The register that holds the result; null for the zero flag. */
  readonly register: number | null;
  /** What the zero flag says of it. */
  readonly succeeds: 'zero' | 'not zero' | null;
}

/** What the callee of a call or a jump to another function finds as an origin of its own. */
function givenAs(registers: Registers, { kind, number }: Origin, i: Instruction): Value | null {
  if (kind === 'register') return registers.get(number);
  return kind === 'argument' ? argument(registers, number, i) : null;
}

/** The word at an offset from the stack pointer at the callee's entry, where a call has pushed the return address. */
function argument(registers: Registers, offset: number, { flow }: Instruction): Value | null {
  const { sp } = registers;
  return sp === null ? null : registers.slot(flow === 'call' ? sp - 8 + offset : sp + offset);
}

function successors({ next, taken }: Block): number[] {
  return next === null ? [...taken] : [next, ...taken];
}
