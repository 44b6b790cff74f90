import { onFault } from '../../snapshots/memory.js';
import type { Addr } from '../../snapshots/address.js';
import type { Evidence } from '../waits/model.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { WaitReader } from '../runtime/wait-records.js';
import type { Loc } from './model.js';

/** What other goroutines can end: chan.go, select.go and package sync. */
const WOKEN = /^(chan (receive|send)|select|sync\..*|semacquire)$/;
/** So many goroutines that are alike are suspects, if each waits on something of its own. */
export const MANY = 10;
/** ... and one of them has waited for so long, where that is known. */
const OLD_NS = 60e9;

/** What a group of goroutines shows. */
export interface Shown {
  readonly count: number;
  /** How many different things they wait on. */
  readonly awaited: number;
  readonly ageNs: number | null;
  readonly entry: Loc | null;
  readonly creator: Loc | null;
}

/**
 * Which goroutines may be leaked, as far as can be told without the heap: of two that these rules name, hardly more than one is.
 * So they are rather silent: about the standard library's own goroutines, about workers that share a channel, and about what waits on a global
 * variable or a timer.
 */
export class SuspectRules {
  readonly #program: GoProgram;
  readonly #waits: WaitReader;
  readonly #timer: number | null;
  readonly #library: string | null;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#waits = new WaitReader(program);
    this.#timer = program.layouts.of('hchan').optional('timer');
    this.#library = libraryOf(program);
  }

  /** True for a goroutine that waits for others, and not on anything that is known to be alive. */
  mayBeLeaked(g: G, waitReason: string | null): boolean {
    if (waitReason === null || !WOKEN.test(waitReason)) return false;
    const awaited = this.awaited(g);
    return awaited.length > 0 && awaited.every((address) => !this.#isGlobal(address) && !this.#hasTimer(address));
  }

  /** The addresses of the channels, or of the semaphore, that a goroutine waits on; none where they are not known. */
  awaited(g: G): Addr[] {
    const found = this.#waits.waitsFor(g);
    if (found === null) return [];
    const channels = found.sudogs.map(({ c }) => c).filter((c) => c !== 0);
    return channels.length > 0 ? channels : found.sync === 0 ? [] : [found.sync];
  }

  /** Why a group is suspected; empty if it is not. */
  evidence({ count, awaited, ageNs, entry, creator }: Shown): Evidence[] {
    const isOfLibrary = entry !== null && this.#isInLibrary(entry.file);
    if (count < MANY || awaited < count || isOfLibrary || (ageNs !== null && ageNs < OLD_NS)) return [];
    return [
      { code: 'many-alike', message: `${count} goroutines have one stack, and each waits on something of its own` },
      ...(ageNs === null ? [] : [{ code: 'old', message: `the oldest has waited ${ageText(ageNs)}` }]),
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

  #isGlobal(address: Addr): boolean {
    return this.#program.code.modules.some(({ module }) =>
      module.data.some(({ lo, hi }) => address >= lo && address < hi),
    );
  }

  /** A timer fires into the channel (hchan.timer, 1.23+). */
  #hasTimer(channel: Addr): boolean {
    const timer = this.#timer;
    if (timer === null) return false;
    return onFault(
      () => this.#program.memory.ptr(channel, timer) !== 0,
      () => false,
    );
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
