import type { Addr } from '../../snapshots/address.js';
import { onFault, type Range } from '../../snapshots/memory.js';
import type { Func } from '../binary/function-table.js';
import { COND_NOTIFY } from '../runtime/wait-records.js';
import { dataReferences } from '../runtime/code-references.js';
import type { CodeIndex } from '../stacks/code-index.js';
import { DirectCalls, type DirectCall } from './direct-calls.js';

/** What code does to channels and to types of package sync, by which a wait of somebody else may end: bits. */
export const DOES = { send: 1, receive: 2, close: 4, select: 8, done: 16, signal: 32 } as const;

/** The functions that the compiler calls, or that stay a call when the caller is inlined (chan.go, select.go, waitgroup.go, sema.go). */
const CALLS: ReadonlyMap<string, number> = new Map([
  ['runtime.chansend1', DOES.send],
  ['runtime.selectnbsend', DOES.send],
  ['runtime.chanrecv1', DOES.receive],
  ['runtime.chanrecv2', DOES.receive],
  ['runtime.selectnbrecv', DOES.receive],
  // Until Go 1.16.
  ['runtime.selectnbrecv2', DOES.receive],
  ['runtime.closechan', DOES.close],
  ['runtime.selectgo', DOES.select],
  ['sync.(*WaitGroup).Done', DOES.done],
  // Done is inlined to a call of Add.
  ['sync.(*WaitGroup).Add', DOES.done],
  ['sync.(*Cond).Signal', DOES.signal],
  ['sync.(*Cond).Broadcast', DOES.signal],
  ['sync.runtime_notifyListNotifyOne', DOES.signal],
  ['sync.runtime_notifyListNotifyAll', DOES.signal],
]);
/** Of some of them, which argument is what it is done to, and bytes from that to what the call is given; of all others, the first. */
const ARGUMENTS: ReadonlyMap<string, { readonly index: number; readonly offset: number }> = new Map([
  ['runtime.selectnbrecv', { index: 1, offset: 0 }],
  ['runtime.selectnbrecv2', { index: 2, offset: 0 }],
  ['sync.runtime_notifyListNotifyOne', { index: 0, offset: COND_NOTIFY }],
  ['sync.runtime_notifyListNotifyAll', { index: 0, offset: COND_NOTIFY }],
]);
const FIRST = { index: 0, offset: 0 };

/** Which argument of such a call is what something is done to. */
export function argumentOf({ name }: Func): { readonly index: number; readonly offset: number } {
  return ARGUMENTS.get(name) ?? FIRST;
}

/**
 * What the name of a function within another one has after that one's: closures (`.func1`, and `.1` within a closure), and the
 * wrappers of deferred calls (`.deferwrap1` since Go 1.22, `·dwrap·1` since 1.17).
 */
const WITHIN = /^(\.(func|deferwrap|\d)|·dwrap)/;
const METHOD_VALUE = '-fm';
/** Starts a goroutine: a closure in such a function may be another goroutine's. */
const STARTS = 'runtime.newproc';

/** Where a function does something. */
export interface Ending {
  /** {@link DOES}: in its own code, in functions within it that it calls or defers, and in those that it calls. */
  readonly own: number;
  readonly within: number;
  readonly called: number;
  /** The addresses of data that its code names, such as that of a global sync.WaitGroup: each once. */
  readonly globals: readonly Addr[];
}

/** Whether a function does something, or one that it calls. */
export function doesAny({ own, within, called }: Ending): boolean {
  return (own | within | called) !== 0;
}

/** A direct call, and where it returns to. */
export interface Call {
  readonly next: Addr;
  readonly callee: Func;
}

/** What a function calls. */
interface Calls {
  readonly does: number;
  readonly sites: readonly Call[];
  /** Each once. */
  readonly callees: readonly Func[];
}

const NOTHING: Ending = { own: 0, within: 0, called: 0, globals: [] };

/** Tells from machine code which functions send, receive, close, select, call Done or signal. */
export class EndingCode {
  readonly #code: CodeIndex;
  readonly #direct: DirectCalls;
  readonly #known = new Map<Addr, Ending>();
  readonly #calls = new Map<Addr, Calls>();

  constructor(code: CodeIndex) {
    this.#code = code;
    this.#direct = code.facts(DirectCalls);
  }

  /** Nothing where the code is absent, or the runtime's. */
  of(func: Func): Ending {
    let known = this.#known.get(func.entry);
    if (known === undefined) this.#known.set(func.entry, (known = this.#read(func)));
    return known;
  }

  /** What a call of a function does at once, such as that of runtime.chanrecv1: {@link DOES}. */
  doesCall({ name }: Func): number {
    return CALLS.get(name) ?? 0;
  }

  /** The direct calls in a function's code, in the order of the instructions; none where the code is absent. */
  callsIn(func: Func): readonly Call[] {
    return this.#callsOf(func).sites;
  }

  /** The functions within a function that it calls, as at its end, or makes closures of; none of those that it may start goroutines with. */
  within(func: Func): Func[] {
    const { callees } = this.#callsOf(func);
    const named = callees.some(({ name }) => name === STARTS) ? [] : this.#namedIn(func);
    return [...callees, ...named].filter((inner) => isWithin(func, inner));
  }

  /** The methods whose values a function makes, to be called by others: their code is named `-fm`. */
  methodValuesIn(func: Func): Func[] {
    return this.#namedIn(func).filter(({ name }) => name.endsWith(METHOD_VALUE));
  }

  #read(func: Func): Ending {
    if (func.name.startsWith('runtime.')) return NOTHING;
    const { does, callees } = this.#callsOf(func);
    const within = this.within(func);
    const called = callees.filter((callee) => !isWithin(func, callee) && !isOfLibrary(callee));
    const all = (funcs: readonly Func[]): number =>
      funcs.reduce((bits, callee) => bits | this.#callsOf(callee).does, 0);
    // A wrapper of a deferred call does what it wraps.
    const wrapped = within.flatMap((inner) => this.#callsOf(inner).callees.filter((callee) => !isOfLibrary(callee)));
    return {
      own: does,
      within: all(within) | all(wrapped),
      called: all(called),
      globals: this.#globalsOf(func),
    };
  }

  #callsOf(func: Func): Calls {
    const known = this.#calls.get(func.entry);
    if (known !== undefined) return known;
    const sites = onFault(
      () => this.#direct.of(func),
      (): DirectCall[] => [],
    ).map(({ next, callee }): Call => ({ next, callee: callee.func }));
    const callees = [...new Set(sites.map(({ callee }) => callee))];
    const does = callees.reduce((bits, { name }) => bits | (CALLS.get(name) ?? 0), 0);
    const found = { does, sites, callees };
    this.#calls.set(func.entry, found);
    return found;
  }

  /**
   * The functions whose addresses its code takes: those of closures that it makes. One that captures nothing, or whose captures
   * are arguments (until Go 1.16), is a word of read-only data, which lies between code and data.
   */
  #namedIn(func: Func): Func[] {
    const { memory, tables } = this.#code;
    const named = this.#named(
      func,
      tables.map(({ module: { text, etext, data } }) => ({ lo: text, hi: data[0]?.lo ?? etext })),
    );
    return named.flatMap((at) => {
      const isCode = tables.some(({ module: { text, etext } }) => at >= text && at < etext);
      const found = onFault(
        () => this.#code.functionAt(isCode ? at : memory.ptr(at)),
        () => null,
      );
      return found === null ? [] : [found.func];
    });
  }

  #globalsOf(func: Func): Addr[] {
    return this.#named(
      func,
      this.#code.tables.flatMap(({ module }) => module.data),
    );
  }

  /** The addresses within some ranges that the code of a function names, each once. */
  #named(func: Func, within: readonly Range[]): Addr[] {
    const { memory, arch } = this.#code;
    return onFault(
      () => [...new Set(dataReferences(memory, arch, func, within))],
      () => [],
    );
  }
}

function isWithin(outer: Func, { name }: Func): boolean {
  return name.startsWith(outer.name) && WITHIN.test(name.slice(outer.name.length));
}

/** Functions that never end a wait of the program's own on a channel that they are given. */
export function isOfLibrary({ name }: Func): boolean {
  return /^(runtime|sync|internal\/[^.]*|fmt|strings|strconv|errors|bytes|sort|reflect|unicode\/[^.]*)\./.test(name);
}
