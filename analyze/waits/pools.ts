import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { packageOf, type Func } from '../binary/function-table.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { EndingCode } from './ending-code.js';
import type { Evidence } from './model.js';

/** Frames of a goroutine that waits that may be the function that takes something out of a pool. */
const MAX_TAKING = 8;
/** Frames of a goroutine that waits that are looked at for them. */
const MAX_DEPTH = 64;
/** Packages that wait on behalf of others. */
const MACHINERY = /^(runtime|internal\/[^.]*|sync)\./;

/** What a goroutine has taken out, as far as its frames tell. */
export interface TakenOut {
  /** Index of the place where others wait for it. */
  readonly place: number;
  readonly evidence: readonly Evidence[];
}

/** Calls that goroutines wait in: where they wait, and by address the calls around that. */
interface Calls {
  place: number | null;
  readonly callers: Map<number, Calls>;
}

/**
 * Finds who has something out of a pool that others wait for, such as a database's connection. The functions in which those
 * wait take something out; a goroutine that has called one of them, and has yet to call the function by which it is given
 * back, has it; so has one that passes that function on. What gives it back is of the same package, and is not called on the way
 * to the wait. In the package itself everything that is called is of it: there what takes out, what gives back and what waits are
 * methods of one type.
 */
export class PoolSearch {
  readonly #program: GoProgram;
  readonly #code: EndingCode;
  /** By the entry of a function that takes something out, the places in it where goroutines wait. */
  readonly #taking = new Map<Addr, Set<number>>();
  readonly #calls: Calls = { place: null, callers: new Map() };
  /** By place, the function that waits there; undefined where the runtime waits for itself. */
  readonly #waiting: (Func | undefined)[] = [];
  /** By code address, what a goroutine has out that is to return there. */
  readonly #taken = new Map<number, readonly TakenOut[]>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#code = program.index.facts(EndingCode);
  }

  /**
   * Notes where a goroutine waits, by the code addresses of its stack, and returns the index of that place: that of another one
   * that waits in the same calls.
   */
  placeOf(g: G, pcs: Float64Array): number {
    let calls = this.#calls;
    for (let i = 0; i < pcs.length && i < MAX_DEPTH; i++) {
      const pc = pcs[i] ?? 0;
      let next = calls.callers.get(pc);
      if (next === undefined) calls.callers.set(pc, (next = { place: null, callers: new Map() }));
      calls = next;
    }
    if (calls.place !== null) return calls.place;
    const place = (calls.place = this.#waiting.length);
    this.#taken.clear();
    const funcs = this.#program
      .stackOf(g, MAX_DEPTH)
      .frames.map(({ point }) => point.func)
      .filter(({ name }) => !MACHINERY.test(name));
    this.#waiting.push(funcs[0]);
    for (const { entry } of funcs.slice(0, MAX_TAKING)) {
      const places = this.#taking.get(entry);
      if (places === undefined) this.#taking.set(entry, new Set([place]));
      else places.add(place);
    }
    return place;
  }

  /** What a goroutine has taken out, by the code addresses of its stack. */
  of(pcs: Float64Array): TakenOut[] {
    if (this.#taking.size === 0) return [];
    const out = new Map<number, TakenOut>();
    for (const pc of pcs) {
      for (const taken of this.#takenAt(pc)) if (!out.has(taken.place)) out.set(taken.place, taken);
    }
    return [...out.values()];
  }

  /** What a goroutine has out that is to return to `pc`: whichever it is, for as long as no place is added. */
  #takenAt(pc: number): readonly TakenOut[] {
    let known = this.#taken.get(pc);
    if (known === undefined) this.#taken.set(pc, (known = this.#findTaken(pc)));
    return known;
  }

  #findTaken(pc: number): readonly TakenOut[] {
    const func = onFault(
      () => this.#program.index.at(pc)?.func ?? null,
      () => null,
    );
    if (func === null || MACHINERY.test(func.name)) return [];
    if (!this.#code.callsIn(func).some(({ callee }) => this.#taking.has(callee.entry))) return [];
    return [...this.#takenIn(func, pc)];
  }

  *#takenIn(func: Func, pc: number): Iterable<TakenOut> {
    const calls = this.#code.callsIn(func);
    const deferred = this.#code.within(func).flatMap((inner) => this.#code.callsIn(inner));
    const before = calls.filter(({ next }) => next < pc);
    for (const [entry, all] of this.#taking) {
      const taken = before.findLastIndex(({ callee }) => callee.entry === entry);
      const taking = before[taken]?.callee;
      if (taking === undefined) continue;
      const isInside = packageOf(func) === packageOf(taking);
      const places = isInside ? [...all].filter((place) => haveOneReceiver(taking, this.#waiting[place])) : all;
      const givesBack = ({ callee }: { readonly callee: Func }): boolean =>
        packageOf(callee) === packageOf(taking) &&
        !this.#taking.has(callee.entry) &&
        callee.name !== func.name &&
        (!isInside || haveOneReceiver(callee, taking));
      const atEnd = deferred.find(givesBack);
      if (atEnd === undefined && before.slice(taken + 1).some(givesBack)) continue;
      const later = atEnd ?? calls.find((call) => call.next > pc && givesBack(call));
      const passed = this.#code.methodValuesIn(func).find((callee) => packageOf(callee) === packageOf(taking));
      const giving = later?.callee ?? passed;
      if (giving === undefined) continue;
      const printed = ({ name }: Func): string => this.#program.index.symbolizer.printedName(name);
      const how = later === undefined ? 'passes on' : atEnd === undefined ? 'has yet to call' : 'defers';
      const message = `${printed(func)} has called ${printed(taking)} and ${how} ${printed(giving)}`;
      for (const place of places) yield { place, evidence: [{ code: 'taken-out', message }] };
    }
  }
}

/** Whether two functions of a package are methods of one type: `db.(*Pool).get` and `db.(*Pool).put`. */
function haveOneReceiver(a: Func, b: Func | undefined): boolean {
  if (b === undefined) return false;
  const receiverOf = (func: Func): string => {
    const local = func.name.slice(packageOf(func).length + 1);
    return local.slice(0, Math.max(0, local.lastIndexOf('.')));
  };
  return receiverOf(a) !== '' && receiverOf(a) === receiverOf(b);
}
