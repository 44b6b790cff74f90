import { successors, type Block, type Blocks } from './code-blocks.js';
import type { Registers } from './code-registers.js';
import { keyOf, shifted, type Value } from './code-values.js';
import { seenByCaller } from './call-results.js';
import type { Ahead, CodeCalls, LockEvent, Stand, Summary } from './code-calls.js';
import type { Cpu, Instruction } from './instruction.js';
import { inlinedMethod, type LockCall, type Mode, type SlowPath } from './lock-functions.js';
import { keyOfCall, LockStates, type Hold, type IndirectCall, type Tried } from './lock-states.js';
import { RegisterFlow } from './register-flow.js';

/** Parts of paths that are gone over for what lies ahead. */
const MAX_PARTS = 1024;

/**
 * Follows locks through the blocks of a function until nothing new is found: at each place they are what all paths that lead
 * there agree on.
 */
export class LockFlow {
  readonly #cpu: Cpu;
  readonly #code: DataView;
  readonly #calls: CodeCalls;
  readonly #instruction: Instruction;
  readonly #values: RegisterFlow;
  readonly #states = new Map<number, LockStates>();
  /** What happens to locks in a block, in order. */
  readonly #events = new Map<number, readonly LockEvent[]>();
  /** Inlined methods, by the word that their atomic instruction changes: those whose slow paths are called. */
  readonly #slowPaths = new Map<string, SlowPath[]>();
  #listening: LockEvent[] | null = null;
  /** What has happened on every path to the function's end; null where it has none. */
  atReturn: LockStates | null = null;

  /** `instruction` decodes the code. */
  constructor(cpu: Cpu, code: DataView, instruction: Instruction, blocks: Blocks, calls: CodeCalls) {
    this.#cpu = cpu;
    this.#code = code;
    this.#instruction = instruction;
    this.#calls = calls;
    this.#values = new RegisterFlow(cpu, code, instruction, blocks, calls);
  }

  /** Returns false for a function that takes too many steps. */
  run(): boolean {
    if (!this.#values.run()) return false;
    const hasSlowPaths = [...this.#values.callees].some(({ slowPath }) => slowPath !== null);
    if (hasSlowPaths) for (const block of this.#values.blocks.values()) this.#findSlowPaths(block);
    return this.#values.fixedPoint.find(this.#states, LockStates.none(), (block, before) => this.#after(block, before));
  }

  /** What the function returns, as far as that is known: by register, or by bytes from the stack pointer at its entry. */
  get results(): Iterable<readonly [at: number, value: Value]> {
    return this.#values.results;
  }

  /**
   * What holds before the instruction at an offset, or during the call that ends there; null where control never comes to it.
   */
  at(offset: number, isReturn: boolean): Stand | null {
    const block = this.#values.blockAt(isReturn ? offset - 1 : offset);
    const registers = block === null ? null : this.#values.atStart(block);
    const locks = block === null ? null : (this.#states.get(block.start)?.copy() ?? null);
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
        this.#step(registers, after, i);
        const waitsFor = this.#duringCall(registers, locks, i);
        this.#values.step(registers, i);
        // What the call may still acquire is not the caller's to release yet.
        const ahead = this.#ahead(block, offset);
        const next = ahead.next.filter((hold) => {
          return after.holds(hold.value, hold.mode) === null || locks.holds(hold.value, hold.mode) !== null;
        });
        return { registers, locks, ...ahead, next, waitsFor };
      }
      this.#step(registers, locks, i);
      this.#values.step(registers, i);
    }
    return null;
  }

  #findSlowPaths(block: Block): void {
    const registers = this.#values.atStart(block);
    const i = this.#instruction;
    for (let at = block.start; registers !== null && at < block.end && i.decode(this.#code, at); at = i.end) {
      const path = i.flow === 'call' ? this.#values.callee(i.target).slowPath : null;
      const given = path === null ? null : this.#given(registers);
      if (path !== null && given !== null) {
        const key = keyOf(shifted(given, path.toAtomic));
        this.#slowPaths.set(key, [...(this.#slowPaths.get(key) ?? []), path]);
      }
      this.#values.step(registers, i);
    }
  }

  #after(block: Block, before: LockStates): (readonly [number, LockStates])[] {
    const registers = this.#values.atStart(block);
    if (registers === null) return [];
    const locks = before.copy();
    const i = this.#instruction;
    for (let at = block.start; at < block.end && i.decode(this.#code, at); at = i.end) {
      this.#step(registers, locks, i);
      this.#values.step(registers, i);
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

  #step(registers: Registers, locks: LockStates, i: Instruction): void {
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
    const { lock, summary, runsDefers } = this.#values.callee(i.target);
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
    const lock = i.flow === 'call' ? this.#values.callee(i.target).lock : null;
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
    let left = MAX_PARTS;
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
        const following = this.#values.blocks.get(to);
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
    this.#after(block, LockStates.none());
    this.#listening = null;
    this.#events.set(block.start, events);
    return events;
  }
}
