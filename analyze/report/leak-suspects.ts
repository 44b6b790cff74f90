import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { eachStackWord } from '../leaks/roots.js';
import type { Evidence, WaitsOn } from '../waits/model.js';
import { WaitsOnReader } from '../waits/waits-on.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { Goroutine, Loc } from './model.js';
import { WorkingOn } from './working-on.js';

/** What other goroutines can end: chan.go, select.go and package sync. */
const WOKEN = /^(chan (receive|send)|select|sync\..*|semacquire)$/;
/** So many goroutines that are alike are suspects, if each waits on something of its own. */
export const MANY = 10;
/** ... and has waited for so long. The runtime collects garbage, and so notes that one waits, every two minutes at least. */
const OLD_NS = 60e9;
/** Types of values that the runtime and the system send: package time's, and os/signal's. */
const FROM_OUTSIDE: ReadonlySet<string> = new Set(['time.Time', 'os.Signal']);

/** What a group of goroutines shows. */
export interface Shown {
  readonly count: number;
  /** How many different things they wait on. */
  readonly awaited: number;
  readonly ageNs: number | null;
  readonly creator: Loc | null;
}

/** What a suspect waits on, and what speaks against the suspicion. */
interface Awaited {
  readonly addresses: readonly Addr[];
  readonly doubts: readonly Evidence[];
}

/** Whether it waits for the end of something, which may come by itself: a context's is told by a channel of empty structs. */
function mayBeOver({ kind, op, elemType }: WaitsOn): boolean {
  return (kind === 'chan' || kind === 'select') && op === 'recv' && elemType === 'struct {}';
}

const MAY_END: Evidence = {
  code: 'weak',
  message: 'weak: each waits to receive from a chan struct {}, which may be that of a context with a deadline',
};

/**
 * Which goroutines may be leaked, as far as can be told without the heap: of two that these rules name, hardly more than one is.
 * So they are rather silent: about the standard library's own goroutines, about workers that share a channel, and about what waits on a global
 * variable, a timer, a signal, a context with a deadline, or on what another goroutine refers to.
 */
export class SuspectRules {
  readonly #program: GoProgram;
  readonly #waits: WaitsOnReader;
  readonly #library: string | null;
  readonly #work: WorkingOn;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#work = new WorkingOn(program);
    this.#waits = new WaitsOnReader(program);
    this.#library = libraryOf(program);
  }

  /** What a goroutine waits on that others would have to end; null if it is no suspect. */
  awaited(g: G, { waitReason, waitSinceNs, entry }: Goroutine): Awaited | null {
    if (waitReason === null || !WOKEN.test(waitReason) || waitSinceNs === null || waitSinceNs < OLD_NS) return null;
    if (entry !== null && this.#isInLibrary(entry.file)) return null;
    const on = this.#waits.of(g);
    if (!on.every((one) => this.#mayBeForgotten(one)) || this.#hasDeadline(g, on)) return null;
    const addresses = on.flatMap(({ addr }) => addr ?? []);
    return addresses.length === 0 ? null : { addresses, doubts: on.some(mayBeOver) ? [MAY_END] : [] };
  }

  /** True if it works with a context that ends in the future: it may wait for that. */
  #hasDeadline(g: G, on: readonly WaitsOn[]): boolean {
    const { capturedAt } = this.#program.image.capture;
    const now = capturedAt === null ? Infinity : Date.parse(capturedAt);
    const frames = (): readonly PhysicalFrame[] => this.#program.stackOf(g).frames;
    return this.#work.told(g, frames, () => on).some(({ deadlineMs }) => deadlineMs !== undefined && deadlineMs > now);
  }

  #mayBeForgotten({ kind, addr, elemType }: WaitsOn): boolean {
    if (addr === null || kind === 'timer' || FROM_OUTSIDE.has(elemType ?? '')) return false;
    return !this.#program.code.modules.some(({ module }) => module.data.some(({ lo, hi }) => addr >= lo && addr < hi));
  }

  /**
   * Those of some addresses that are on the stack of a goroutine outside of the group that waits on them: it may end the wait.
   * `groupOf` tells the group of a goroutine, null for none.
   */
  referredTo<T>(awaited: ReadonlyMap<number, T>, groupOf: (goid: number) => T | null): Set<number> {
    const out = new Set<number>();
    for (const g of awaited.size === 0 ? [] : this.#program.goroutines('stack')) {
      const own = groupOf(g.goid);
      eachStackWord(this.#program, g, (word) => {
        const group = word === 0 ? undefined : awaited.get(word);
        if (group !== undefined && group !== own) out.add(word);
      });
    }
    return out;
  }

  /** Why a group is suspected; empty if it is not. */
  evidence({ count, awaited, ageNs, creator }: Shown): Evidence[] {
    if (count < MANY || awaited < count || ageNs === null) return [];
    return [
      { code: 'many-alike', message: `${count} goroutines have one stack, and each waits on something of its own` },
      { code: 'old', message: `the oldest has waited ${ageText(ageNs)}` },
      ...(creator === null
        ? []
        : [{ code: 'one-creator', message: `all were started at ${creator.func} (${creator.file}:${creator.line})` }]),
    ];
  }

  #isInLibrary(file: string): boolean {
    if (this.#library !== null) return file.startsWith(this.#library);
    // With -trimpath, paths begin with the package: one of another module has a host's name in it.
    return !file.startsWith('/') && !/^[^/]*\./.test(file);
  }
}

/** The folder of the standard library's source, which the file of a function of every program names; null where it is not known. */
function libraryOf({ code, index }: GoProgram): string | null {
  const [runtime] = code.modules;
  return onFault(
    () => {
      const main = runtime?.named(new Set([MAIN])).get(MAIN);
      if (runtime === undefined || main === undefined) return null;
      const file = index.symbolizer.lines(runtime, main, main.entry).at(-1)?.file ?? '';
      return file.endsWith(MAIN_FILE) && file.startsWith('/') ? file.slice(0, -MAIN_FILE.length) : null;
    },
    () => null,
  );
}

const MAIN = 'runtime.main';
const MAIN_FILE = 'runtime/proc.go';

const AGES = [
  ['d', 86_400e9],
  ['h', 3600e9],
  ['m', 60e9],
] as const;

/** An age in nanoseconds as `42 s`, `14 m`, `3 h`, `2 d`, cut to whole ones. */
export function ageText(ns: number): string {
  for (const [unit, size] of AGES) if (ns >= size) return `${Math.floor(ns / size)} ${unit}`;
  return `${Math.floor(ns / 1e9)} s`;
}
