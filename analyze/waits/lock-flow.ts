import type { Block, Blocks } from './code-blocks.js';
import { Registers } from './code-registers.js';
import { keyOf, shifted, type Value } from './code-values.js';
import { lookedUp, seenByCaller, storeResults } from './call-results.js';
import type { Ahead, Callee, CodeCalls, LockEvent, Stand, Summary } from './code-calls.js';
import type { Cpu, Instruction } from './instruction.js';
import { inlinedMethod, type LockCall, type Mode, type SlowPath } from './lock-functions.js';
import { keyOfCall, LockStates, type Hold, type IndirectCall, type Tried } from './lock-states.js';

/** Steps over a function, for each of its blocks: a function that takes more is given up. */
const STEPS_A_BLOCK = 64;

/**
 * Follows locks and values through the blocks of a function until nothing new is found: at each place they are what all
 * paths that lead there agree on.
 */
export class LockFlow {
  readonly #cpu: Cpu;
  readonly #code: DataView;
  readonly #blocks: Blocks;
  readonly #calls: CodeCalls;
  readonly #instruction: Instruction;
  /** Offsets in the frame whose address some code has taken. */
  readonly #escaped = new Set<number>();
  readonly #registersAt = new Map<number, Registers>();
  readonly #locksAt = new Map<number, LockStates>();
  /** What happens to locks in a block, in order. */
  readonly #events = new Map<number, readonly LockEvent[]>();
  /** Inlined methods, by the word that their atomic instruction changes: those whose slow paths are called. */
  readonly #slowPaths = new Map<string, SlowPath[]>();
  /** What the functions that it calls do, by address. */
  readonly #callees = new Map<number, Callee>();
  #listening: LockEvent[] | null = null;
  /** What has happened on every path to the function's end; null where it has none. */
  atReturn: LockStates | null = null;
  /** What registers and the words of the frame hold there. */
  #registersAtReturn: Registers | null = null;

  /** `instruction` decodes the code. */
  constructor(cpu: Cpu, code: DataView, instruction: Instruction, blocks: Blocks, calls: CodeCalls) {
    this.#cpu = cpu;
    this.#code = code;
    this.#instruction = instruction;
    this.#blocks = blocks;
    this.#calls = calls;
  }

  /** Returns false for a function that takes too many steps. */
  run(): boolean {
    for (let known = -1; known !== this.#escaped.size;) {
      known = this.#escaped.size;
      this.#registersAt.clear();
      if (!this.#fix(this.#registersAt, Registers.atEntry(this.#cpu), (block, at) => this.#registersAfter(block, at)))
        return false;
    }
    const hasSlowPaths = [...this.#callees.values()].some(({ slowPath }) => slowPath !== null);
    for (const block of this.#blocks.values()) {
      if (hasSlowPaths) this.#findSlowPaths(block);
      this.#findReturn(block);
    }
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
    const i = this.#instruction;
    for (let at = block.start; at < block.end; at = i.end) {
      if (!isReturn && at === offset) {
        return { registers, locks, ...this.#ahead(block, at), waitsFor: null };
      }
      if (!i.decode(this.#code, at)) return null;
      if (isReturn && i.end === offset) {
        if (i.flow !== 'call' && i.flow !== 'call-indirect') return null;
        const after = locks.copy();
        this.#stepLocks(registers, after, i);
        const waitsFor = this.#duringCall(registers, locks, i);
        this.#stepRegisters(registers, i);
        // What the call may still acquire is not the caller's to release yet.
        const ahead = this.#ahead(block, offset);
        const next = ahead.next.filter((hold) => {
          return after.holds(hold.value, hold.mode) === null || locks.holds(hold.value, hold.mode) !== null;
        });
        return { registers, locks, ...ahead, next, waitsFor };
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
      const path = i.flow === 'call' ? this.#callee(i.target).slowPath : null;
      const given = path === null ? null : this.#given(registers);
      if (path !== null && given !== null) {
        const key = keyOf(shifted(given, path.toAtomic));
        this.#slowPaths.set(key, [...(this.#slowPaths.get(key) ?? []), path]);
      }
      this.#stepRegisters(registers, i);
    }
  }

  /** What the function returns, as far as that is known: by register, or by bytes from the stack pointer at its entry. */
  get results(): Iterable<readonly [at: number, value: Value]> {
    const registers = this.#registersAtReturn;
    if (registers === null) return [];
    if (!this.#calls.inRegisters) return [...registers.slots].filter(([at, value]) => at > 0 && !isArgument(value, at));
    return this.#cpu.results.flatMap((at) => {
      const value = registers.get(at);
      return value === null ? [] : [[at, value] as const];
    });
  }

  #findReturn(block: Block): void {
    if (block.next !== null || block.taken.length > 0) return;
    const before = this.#registersAt.get(block.start);
    const registers = before?.copy();
    const i = this.#instruction;
    for (let at = block.start; registers !== undefined && at < block.end && i.decode(this.#code, at); at = i.end)
      this.#stepRegisters(registers, i);
    if (registers === undefined || i.flow !== 'return') return;
    this.#registersAtReturn =
      this.#registersAtReturn?.joined(registers, 'return') ?? this.#registersAtReturn ?? registers;
  }

  #locksAfter(block: Block, before: LockStates): (readonly [number, LockStates])[] {
    const registers = this.#registersAt.get(block.start)?.copy();
    if (registers === undefined) return [];
    const locks = before.copy();
    const i = this.#instruction;
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end) {
      this.#stepLocks(registers, locks, i);
      this.#stepRegisters(registers, i);
    }
    if (block.next === null && block.taken.length === 0 && (i.flow === 'return' || i.flow === 'jump'))
      this.#return(locks);
    return this.#branch(block, locks);
  }

  #return(locks: LockStates): void {
    // What happens in one block alone is no state of the function.
    if (this.#listening !== null) return;
    this.atReturn = this.atReturn === null ? locks : (this.atReturn.joined(locks) ?? this.atReturn);
  }

  /** Where control goes on from a block, and with which locks: a branch may tell whether a TryLock acquired one. */
  #branch(block: Block, locks: LockStates): (readonly [number, LockStates])[] {
    const { tried } = locks;
    if (tried === null || this.#instruction.flow !== 'branch') return successors(block).map((to) => [to, locks]);
    const isTakenIfTrue = this.#instruction.branchesOn(tried.result);
    return successors(block).map((to, n) => {
      const out = locks.copy();
      // The way on comes first.
      const isTaken = n > 0;
      out.tell(isTakenIfTrue === null ? null : isTaken === isTakenIfTrue);
      return [to, out];
    });
  }

  #callee(target: number): Callee {
    let known = this.#callees.get(target);
    if (known === undefined) this.#callees.set(target, (known = this.#calls.callee(target)));
    return known;
  }

  #stepRegisters(registers: Registers, i: Instruction): void {
    if (i.flow === 'next') i.step(registers, this.#escaped);
    if (i.flow !== 'call' && i.flow !== 'call-indirect') return;
    const { argumentBytes, changed } = this.#calls;
    const callee = i.flow === 'call' ? this.#callee(i.target) : null;
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

  #stepLocks(registers: Registers, locks: LockStates, i: Instruction): void {
    if (i.flow !== 'branch' && i.flow !== 'jump') locks.follow((result) => i.follow(result));
    if (i.atomic !== null) this.#atomic(registers, locks, i);
    else if (i.flow === 'call-indirect') this.#callIndirect(registers, locks, i);
    else if (i.flow === 'call' || (i.flow === 'jump' && (i.target < 0 || i.target >= this.#code.byteLength)))
      this.#call(registers, locks, i);
  }

  /** The atomic instruction of an inlined method. */
  #atomic(registers: Registers, locks: LockStates, i: Instruction): void {
    const at = i.address(registers);
    const call = this.#calls.inlined(i.at) ?? (at === null ? null : this.#bySlowPath(registers, at, i));
    if (call === null) return;
    const isKnown = call.atomicOffset !== null;
    const value = at === null || call.atomicOffset === null ? null : shifted(at, -call.atomicOffset);
    if (call.does === 'try' && isKnown && i.atomic === 'compare')
      this.#try(locks, { value, mode: call.mode, place: `${i.at}`, result: { register: null, equal: true } });
    else if (call.does === 'release') this.#release(locks, value, call.mode, i, isKnown);
    else this.#acquire(locks, value, call.mode, i, isKnown && call.does === 'acquire');
  }

  /** The inlined method to which an atomic instruction belongs, by its slow path, which changes the same word. */
  #bySlowPath(registers: Registers, at: Value, { atomic, added }: Instruction): LockCall | null {
    const paths = this.#slowPaths.get(keyOf(at)) ?? [];
    const number = atomic === 'add' ? registers.get(added) : null;
    const adds = number?.origin.kind === 'address' && number.offset === 1;
    const path = paths.find(({ does, mode }) => {
      if (mode === 'read') return atomic === 'add' && adds === (does === 'acquire');
      return atomic === (does === 'acquire' ? 'compare' : 'add');
    });
    return path === undefined ? null : inlinedMethod(path);
  }

  #call(registers: Registers, locks: LockStates, i: Instruction): void {
    const { lock, summary, runsDefers } = this.#callee(i.target);
    if (runsDefers) locks.doubt(() => true);
    if (lock !== null) {
      const value = this.#receiver(registers, lock);
      if (lock.does === 'release') this.#release(locks, value, lock.mode, i);
      else if (lock.does === 'try') {
        const result = { register: this.#cpu.first, equal: null };
        this.#try(locks, { value, mode: lock.mode, place: `${i.at}`, result });
      } else this.#acquire(locks, value, lock.mode, i);
    } else if (summary !== null) this.#apply(registers, locks, summary, i);
  }

  /** A call of what is found in memory: what it does is known only where it runs. */
  #callIndirect(registers: Registers, locks: LockStates, i: Instruction): void {
    const callee = i.callee(registers);
    if (callee === null) return;
    const call = { callee, given: this.#given(registers), closure: registers.get(this.#cpu.closure), isCertain: true };
    locks.call(call);
    this.#listening?.push({ end: i.end, does: 'call', call });
  }

  #apply(registers: Registers, locks: LockStates, summary: Summary, i: Instruction): void {
    const site = { registers, instruction: i };
    const given = (value: Value): Value | null => seenByCaller(site, summary, value);
    const { released, isWild, held } = summary.locks;
    for (const { value, mode, isCertain } of released) this.#release(locks, given(value), mode, i, isCertain);
    if (isWild) locks.doubt(() => true);
    for (const { value, mode, isCertain } of held) {
      if (isCertain) this.#acquire(locks, given(value), mode, i);
      else this.#acquireMaybe(locks, given(value), mode, i);
    }
  }

  /** What holds while a call is under way, before it has acquired what it may wait for. Returns the latter. */
  #duringCall(registers: Registers, locks: LockStates, i: Instruction): Stand['waitsFor'] {
    const lock = i.flow === 'call' ? this.#callee(i.target).lock : null;
    if (lock === null) return null;
    const value = this.#receiver(registers, lock);
    if (lock.does === 'release') locks.release(value, lock.mode);
    if (lock.does !== 'wait') return null;
    locks.undo(value, lock.mode);
    return { value, mode: lock.mode };
  }

  #receiver(registers: Registers, { receiverOffset }: LockCall): Value | null {
    const given = this.#given(registers);
    return given === null ? null : shifted(given, -receiverOffset);
  }

  /** The first argument of a call. */
  #given(registers: Registers): Value | null {
    return this.#calls.inRegisters ? registers.get(this.#cpu.first) : registers.argument(8, true);
  }

  #acquire(locks: LockStates, value: Value | null, mode: Mode, i: Instruction, isCertain = true): void {
    locks.acquire(value, mode, `${i.at}`, isCertain);
    this.#listening?.push({ end: i.end, does: 'acquire', value, mode });
  }

  #acquireMaybe(locks: LockStates, value: Value | null, mode: Mode, i: Instruction): void {
    locks.acquireMaybe(value, mode);
    this.#listening?.push({ end: i.end, does: 'acquire', value, mode });
  }

  #release(locks: LockStates, value: Value | null, mode: Mode, i: Instruction, isCertain = true): void {
    locks.release(value, mode, isCertain);
    this.#listening?.push({ end: i.end, does: 'release', value, mode });
  }

  #try(locks: LockStates, tried: Tried): void {
    locks.try(tried);
    this.#listening?.push({ end: this.#instruction.end, does: 'acquire', value: tried.value, mode: tried.mode });
  }

  /** What some path from a place on does with locks. */
  #ahead(from: Block, offset: number): Ahead {
    const next = new Map<string, Hold>();
    const calls = new Map<string, IndirectCall>();
    const acquired: Hold[] = [];
    const seen = new Set<string>();
    const waiting: [block: Block, from: number, passed: ReadonlySet<string>][] = [[from, offset, new Set()]];
    let left = STEPS_A_BLOCK * 16;
    for (let item = waiting.pop(); item !== undefined && left-- > 0; item = waiting.pop()) {
      const [block, start, before] = item;
      const passed = new Set(before);
      for (const event of this.#eventsOf(block)) {
        if (event.end <= start) continue;
        if (event.does === 'call') {
          calls.set(keyOfCall(event.call), event.call);
          continue;
        }
        const { does, value, mode } = event;
        if (value === null) continue;
        const key = `${mode} ${keyOf(value)}`;
        const hold = { value, mode, isCertain: false };
        if (does === 'acquire') acquired.push(hold);
        else if (!passed.has(key)) next.set(key, hold);
        passed.add(key);
      }
      for (const to of successors(block)) {
        const following = this.#blocks.get(to);
        const key = `${to} ${[...passed].sort().join()}`;
        if (following === undefined || seen.has(key)) continue;
        seen.add(key);
        waiting.push([following, to, passed]);
      }
    }
    return { next: [...next.values()], nextCalls: [...calls.values()], nextAcquired: acquired };
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

/** Whether a word of the stack is still what the function was given there. */
function isArgument({ origin: { kind, number }, offset }: Value, at: number): boolean {
  return kind === 'argument' && number === at && offset === 0;
}

function successors({ next, taken }: Block): number[] {
  return next === null ? [...taken] : [next, ...taken];
}
