import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { packageOf, type Func } from '../binary/function-table.js';
import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { blocksOf } from './code-blocks.js';
import { CPUS } from './cpus.js';
import type { Cpu } from './instruction.js';
import { neverReturns, SYNC_METHODS, type LockCall, type LockMethods } from './lock-functions.js';
import type { Callee, Stand, Summary } from './code-calls.js';
import { DirectCalls } from './direct-calls.js';
import { LockFlow } from './lock-flow.js';
import { pointedVariables } from './pointed-variables.js';
import { Remembered } from './remembered.js';
import type { LockStates } from './lock-states.js';

/** Longer functions are left alone, and so are longer callees, which are looked into for every call. */
const MAX_CODE = 64 * 1024;
const MAX_CALLEE = 4096;
const MAX_CASES = 1024;
/** Keeps nearly all registers: it, or one of several whose names begin so. */
export const BARRIER = 'runtime.gcWriteBarrier';
/** Calls from a deferred function to one that releases a lock. */
const FAR = 3;
/** The most that a callee of unknown kind is taken to have. */
export const STACK_ARGUMENTS = 40;

/**
 * What the code of functions does with locks: of those on stacks, and of those that they call. Everything is worked out
 * once.
 */
export class LockCode {
  /** Which locks. */
  readonly methods: LockMethods;
  readonly #code: CodeIndex;
  readonly #calls: DirectCalls;
  readonly #cpu: Cpu;
  /** Whether arguments are passed in registers. */
  readonly #inRegisters: boolean;
  /** By entry: code that has to do with locks, directly or one call away; that does so itself; and that leads there in its package. */
  readonly #concerned = new Remembered<CodePoint, boolean>((point) => this.#mayConcern(point), false);
  readonly #touches = new Remembered<CodePoint, boolean>((point) => this.#touchesLocks(point), false);
  readonly #leads = new Remembered<CodePoint, boolean>((point) => this.#leadsToLocks(point), false);
  readonly #flows = new Map<number, LockFlow | null>();
  readonly #summaries = new Map<number, Summary | null>();
  /** By entry and calls that are followed, what {@link #farAfter} returns. */
  readonly #far = new Map<string, Summary | null>();
  /** By entry, the functions that a function calls. */
  readonly #called = new Map<number, readonly CodePoint[]>();
  /** By code address. */
  readonly #places = new Remembered<CodePoint, Stand | null>((point) => this.#at(point, false), null);
  readonly #trapPlaces = new Remembered<CodePoint, Stand | null>((point) => this.#at(point, true), null);

  constructor(code: CodeIndex, methods: LockMethods) {
    this.#code = code;
    this.#calls = code.facts(DirectCalls);
    this.methods = methods;
    this.#cpu = CPUS[code.arch];
    this.#inRegisters = code.release.registerArguments[code.arch];
  }

  /** What the code has done with locks where a frame stands; null where it has to do with none, or is not understood. */
  at(point: CodePoint, isTrap: boolean): Stand | null {
    return (isTrap ? this.#trapPlaces : this.#places).at(point.pc, point);
  }

  /** True for code that has to do with locks, directly or one call away. */
  isConcerned(point: CodePoint): boolean {
    return this.#concerned.at(point.func.entry, point);
  }

  #mayConcern(point: CodePoint): boolean {
    return this.#doesTouch(point) || this.#calleesOf(point.func).some((callee) => this.#doesLead(callee));
  }

  /** What a function has done with its callers' locks when it returns, deferred calls apart; null where that is not understood. */
  afterCallOf(point: CodePoint): LockStates | null {
    return this.isConcerned(point) ? (this.#flowOf(point)?.atReturn ?? null) : null;
  }

  /** What a deferred function has done when it returns, also by functions of its package several calls away. */
  afterDeferred(point: CodePoint): LockStates | null {
    return this.#farAfter(point, FAR)?.locks ?? null;
  }

  #farAfter(point: CodePoint, calls: number): Summary | null {
    const { func } = point;
    const key = `${func.entry} ${calls}`;
    let after = this.#far.get(key);
    if (after === undefined) {
      // While it is under way, a call of the function itself does nothing.
      this.#far.set(key, null);
      after = onFault(
        () => (func.end - func.entry <= MAX_CALLEE ? summaryOf(this.#follow(point, calls)) : null),
        () => null,
      );
      this.#far.set(key, after);
    }
    return after;
  }

  /** The same of a function that is called by the one that is looked at; null also where it does nothing. */
  #summaryOf(point: CodePoint): Summary | null {
    const { func } = point;
    const known = this.#summaries.get(func.entry);
    if (known !== undefined) return known;
    // A function that calls itself has done nothing yet.
    this.#summaries.set(func.entry, null);
    const flow = func.end - func.entry <= MAX_CALLEE && this.#doesLead(point) ? this.#flowOf(point) : null;
    const summary = summaryOf(flow);
    this.#summaries.set(func.entry, summary);
    return summary;
  }

  #at(point: CodePoint, isTrap: boolean): Stand | null {
    const { func, pc } = point;
    if (this.methods.isOfLocks(func.name) || !(this.isConcerned(point) || this.#callsIndirectly(func))) return null;
    const place = this.#flowOf(point)?.at(pc - func.entry, !isTrap) ?? null;
    // What the code does to its stack pointer must be what the function table says.
    return place !== null && place.registers.sp === -(point.spDelta ?? NaN) ? place : null;
  }

  /** True for a function that calls methods of locks or their slow paths, or has such methods inlined. */
  #doesTouch(point: CodePoint): boolean {
    return this.#touches.at(point.func.entry, point);
  }

  #touchesLocks({ func }: CodePoint): boolean {
    const { callOf, slowPathOf, areInlined, isOfLocks } = this.methods;
    return (
      !isOfLocks(func.name) &&
      !func.name.startsWith('runtime.') &&
      (this.#calleesOf(func).some(({ func: { name } }) => callOf(name) !== null || slowPathOf(name) !== null) ||
        (areInlined && this.#atomicsIn(func).some((pc) => this.#inlinedAt(pc) !== null)))
    );
  }

  /** True for a function that does so itself, or by one of its package that it calls: one Begin that calls another. */
  #doesLead(point: CodePoint): boolean {
    return this.#leads.at(point.func.entry, point);
  }

  #leadsToLocks(point: CodePoint): boolean {
    const { func } = point;
    const isNear = (callee: CodePoint): boolean => packageOf(callee.func) === packageOf(func);
    return (
      this.#doesTouch(point) ||
      (!this.methods.isOfLocks(func.name) &&
        !func.name.startsWith('runtime.') &&
        func.end - func.entry <= MAX_CALLEE &&
        this.#calleesOf(func).some((callee) => isNear(callee) && this.#doesTouch(callee)))
    );
  }

  /** True for a function that may call a method of a lock by an interface, or as a closure. */
  #callsIndirectly(func: Func): boolean {
    const code = this.methods.areInlined && !func.name.startsWith('runtime.') ? this.#codeOf(func) : null;
    return code !== null && this.#cpu.mayCallIndirectly(code);
  }

  /** Functions that the code may call. */
  #calleesOf(func: Func): readonly CodePoint[] {
    const known = this.#called.get(func.entry);
    if (known !== undefined) return known;
    const calls = func.end - func.entry <= MAX_CODE ? this.#calls.of(func) : [];
    const callees = [...new Set(calls.map(({ callee }) => callee))];
    this.#called.set(func.entry, callees);
    return callees;
  }

  /** Addresses of what may be atomic instructions. */
  #atomicsIn(func: Func): number[] {
    const code = this.#codeOf(func);
    return code === null ? [] : Array.from(this.#cpu.atomicsIn(code), (at) => func.entry + at);
  }

  /** The outermost method of a lock that is inlined where an instruction begins. */
  #inlinedAt(pc: number): LockCall | null {
    const lines = this.#code.at(pc)?.lines(true) ?? [];
    const method = lines.findLast(({ name, inlined }) => inlined && this.methods.callOf(name) !== null);
    return method === undefined ? null : this.methods.callOf(method.name);
  }

  #flowOf(point: CodePoint): LockFlow | null {
    const { func } = point;
    const known = this.#flows.get(func.entry);
    if (known !== undefined) return known;
    // While it is under way, a call of the function itself does nothing.
    this.#flows.set(func.entry, null);
    const flow = onFault(
      () => this.#follow(point),
      () => null,
    );
    this.#flows.set(func.entry, flow);
    return flow;
  }

  /** `calls` are those that are followed within its package, whether or not they seem to have to do with locks. */
  #follow(point: CodePoint, calls = 0): LockFlow | null {
    const { func } = point;
    const code = this.#codeOf(func);
    if (code === null) return null;
    const { entry } = func;
    const instruction = this.#cpu.instruction(entry);
    const blocks = blocksOf(code, instruction, {
      isLast: (target) => neverReturns(this.#code.functionAt(entry + target)?.func.name ?? ''),
      casesAt: (table) => this.#casesAt(func, table),
    });
    if (blocks === null) return null;
    const flow = new LockFlow(this.#cpu, code, instruction, blocks, {
      callee: (target) => this.#describe(this.#code.functionAt(entry + target), func, calls),
      inlined: (at) => this.#inlinedAt(entry + at),
      changed: pointedVariables(this.#code, point),
      inRegisters: this.#inRegisters,
      argumentBytes: this.#inRegisters ? 0 : STACK_ARGUMENTS,
    });
    return flow.run() ? flow : null;
  }

  #describe(callee: CodePoint | null, caller: Func, calls: number): Callee {
    if (callee === null) return NOTHING;
    const { name } = callee.func;
    const called = { ...NOTHING, slowPath: this.methods.slowPathOf(name), argumentBytes: this.#argumentBytes(callee) };
    const lock = this.methods.callOf(name);
    if (lock !== null) return { ...called, lock };
    if (name === 'runtime.deferreturn') return { ...called, runsDefers: true };
    if (name.startsWith(BARRIER)) return { ...called, isBarrier: true };
    if (name.startsWith('runtime.')) return { ...called, looksUp: lookedUp(name) };
    const isNear = calls === 0 || packageOf(callee.func) !== packageOf(caller);
    return { ...called, summary: isNear ? this.#summaryOf(callee) : this.#farAfter(callee, calls - 1) };
  }

  /** Bytes of the stack that a callee may change as its arguments and results. */
  #argumentBytes({ func, table }: CodePoint): number {
    if (this.#inRegisters) return 0;
    const bytes = table.argumentBytes(func);
    return bytes ?? STACK_ARGUMENTS;
  }

  /** The cases of a switch, from its table of addresses: as many words as lie in the function. null if none does. */
  #casesAt({ entry, end }: Func, table: number): number[] | null {
    const out: number[] = [];
    while (out.length < MAX_CASES) {
      const target = this.#code.memory.word(table as Addr, 8 * out.length);
      if (target < entry || target >= end) break;
      out.push(target - entry);
    }
    return out.length === 0 ? null : out;
  }

  #codeOf({ entry, end }: Func): DataView | null {
    const length = end - entry;
    if (!(length > 0 && length <= MAX_CODE)) return null;
    return new DataView(this.#code.memory.bytes(entry, length).buffer);
  }
}

/** The same of the locks of package sync. */
export class SyncLockCode extends LockCode {
  constructor(code: CodeIndex) {
    super(code, SYNC_METHODS);
  }
}

/** Keys of maps that a function of the runtime looks up (runtime/map_fast*.go), which returns where the value is. */
function lookedUp(name: string): Callee['looksUp'] {
  const [, kind] = /^runtime\.mapaccess[12]_fast(64|str)$/.exec(name) ?? [];
  return kind === undefined ? null : kind === 'str' ? 'string' : 'integer';
}

function summaryOf(flow: LockFlow | null): Summary | null {
  return flow?.atReturn == null ? null : { locks: flow.atReturn, results: [...flow.results] };
}

/** A callee of which nothing is known. */
export const NOTHING: Callee = {
  lock: null,
  slowPath: null,
  summary: null,
  runsDefers: false,
  looksUp: null,
  isBarrier: false,
  argumentBytes: null,
};
