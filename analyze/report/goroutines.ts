import { MemoryFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { M } from '../runtime/machine.js';
import type { Ancestor, Frame, Goroutine, Loc } from './model.js';
import { isRuntime, LocationResolver } from './locations.js';

/** How much of each goroutine is worked out; stacks cost the most. */
export interface Detail {
  /** Whole stacks, in `frames`. */
  readonly frames: boolean;
  /** `user`, which needs the stack as far as it; implied by `frames`. */
  readonly user: boolean;
}

/** Goroutines that call back into user code from a system goroutine's start function (isSystemGoroutine, traceback.go). */
const CALLS_BACK = new Set(['runtime.runfinq', 'runtime.runFinalizers', 'runtime.runCleanups']);
/** Start functions of package runtime whose goroutines are the program's own; corostart since Go 1.22. */
const USER_STARTS = new Set(['runtime.main', 'runtime.handleAsyncEvent', 'runtime.corostart']);
/** Frames looked at for the innermost one outside of the runtime. */
const USER_DEPTH = 100;

/** The goroutines of a program, as reports have them, in the order of their ids, one at a time. */
export function* listGoroutines(program: GoProgram, detail: Detail): Iterable<Goroutine> {
  for (const { goroutine } of describeGoroutines(program, detail)) yield goroutine;
}

/** The same beside what the runtime has of each, for reports that look further. */
export function* describeGoroutines(program: GoProgram, detail: Detail): Iterable<{ g: G; goroutine: Goroutine }> {
  const describe = new Describer(program, detail);
  for (const g of program.goroutines()) yield { g, goroutine: describe.goroutine(g) };
}

/** Works out one goroutine after another. */
export class Describer {
  readonly #program: GoProgram;
  readonly #detail: Detail;
  readonly #places: LocationResolver;
  readonly #machines: ReadonlyMap<number, M>;
  readonly #torn: ReadonlySet<number>;
  readonly #now: number | null;

  constructor(program: GoProgram, detail: Detail) {
    this.#program = program;
    this.#detail = detail;
    this.#places = new LocationResolver(program);
    this.#machines = new Map(program.machines.map((m) => [m.addr, m]));
    this.#torn = new Set(program.image.capture.torn);
    const { monotonicNs } = program.image.capture;
    this.#now = monotonicNs === null ? null : Number(monotonicNs);
  }

  goroutine(g: G): Goroutine {
    const { frames: wanted, user } = this.#detail;
    const start = this.#places.start(g);
    const callsBack = start !== null && CALLS_BACK.has(start.func) && g.status !== 'idle';
    const stack = wanted || user || callsBack ? this.#program.stackOf(g, wanted ? undefined : USER_DEPTH) : null;
    const frames = stack !== null && (wanted || callsBack) ? this.#places.frames(stack.frames) : [];
    return {
      goid: g.goid,
      status: g.status,
      waitReason: g.status === 'waiting' ? this.#program.waitReasons.at(g.waitreason) : null,
      waitSinceNs: this.#age(g),
      system: isSystem(start, callsBack ? frames : []),
      thread: this.#thread(g),
      lockedToThread: g.lockedm !== 0,
      labels: this.#labels(g),
      parentGoid: g.parentGoid === 0 ? null : g.parentGoid,
      creator: this.#places.creator(g),
      start,
      entry: this.#places.entry(g),
      current: this.#places.current(g),
      user: stack === null ? null : this.#places.user(stack.frames),
      frames: wanted ? frames : [],
      truncated: wanted ? (stack?.truncated ?? null) : null,
      torn: this.#torn.has(g.addr),
      ...(wanted && g.ancestors !== 0 ? { ancestors: this.#ancestors(g) } : {}),
    };
  }

  #ancestors(g: G): readonly Ancestor[] {
    try {
      return this.#places.ancestors(g);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      const message = `the ancestors of goroutine ${g.goid} cannot be read: ${error.message}`;
      this.#program.warn({ code: 'ancestors-unreadable', goid: g.goid, message });
      return [];
    }
  }

  /** Set only while a garbage collection has seen it waiting, as printed by goroutineheader (traceback.go). */
  #age(g: G): number | null {
    if (g.waitsince === 0 || this.#now === null || (g.status !== 'waiting' && g.status !== 'syscall')) return null;
    return Math.max(0, this.#now - g.waitsince);
  }

  #labels(g: G): Goroutine['labels'] {
    try {
      return this.#program.labelReader.read(g.labels);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      const message = `the labels of goroutine ${g.goid} cannot be read: ${error.message}`;
      this.#program.warn({ code: 'labels-unreadable', goid: g.goid, message });
      return {};
    }
  }

  #thread(g: G): Goroutine['thread'] {
    if (g.status !== 'running' && g.status !== 'syscall') return null;
    const m = this.#machines.get(g.m);
    if (m === undefined) return null;
    return { m: m.id, tid: this.#program.threadOf(m)?.tid ?? m.procid };
  }
}

/** isSystemGoroutine (traceback.go); one that runs a finalizer or a cleanup is the program's own. */
function isSystem(start: Loc | null, calledBack: readonly Frame[]): boolean {
  if (start === null || !start.func.startsWith('runtime.') || USER_STARTS.has(start.func)) return false;
  return calledBack.every(({ func }) => isRuntime(func) || func === start.func);
}
