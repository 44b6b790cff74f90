import { hex } from '../../snapshots/address.js';
import type { GoProgram } from '../program.js';
import { isSure, type WaitsOn } from '../waits/model.js';
import { indexOf, NO_GOROUTINE, thingAt, type Waits } from '../waits/program-waits.js';
import { findWaits } from '../waits/waits.js';
import { bySize, OpenGroup, type Group } from './groups.js';
import { listThings, withoutAddress } from './listed-waits.js';
import type { Goroutine } from './model.js';
import { orderOf, thingText } from './wait-texts.js';
import { WaitReporter } from './waits.js';

/**
 * Groups goroutines by what they wait on that others have to end: locks, WaitGroups, channels. One that waits in a select is in a
 * group for each of its channels, and most are in none. Those that wait alike, on a thing of their own each, are in one group.
 */
export class WaitedGrouping {
  readonly #waits: Waits;
  readonly #reporter: WaitReporter;
  /** What deadlocks lead over, each with a word for that. */
  readonly #deadlocks: ReadonlyMap<number, string>;
  readonly #waiters: Uint32Array;
  /** By thing that is alike with others, the first of them. */
  readonly #alike: ReadonlyMap<number, number>;
  /** By thing, or the first of those that are alike. */
  readonly #groups = new Map<number, OpenGroup>();

  constructor(program: GoProgram) {
    this.#waits = findWaits(program);
    this.#reporter = new WaitReporter(this.#waits);
    this.#deadlocks = new Map(
      this.#reporter.cycles.flatMap(({ things, strength }) => {
        const word = isSure(strength) ? 'DEADLOCK: ' : 'POSSIBLE DEADLOCK: ';
        return things.map((thing) => [thing, word] as const);
      }),
    );
    this.#waiters = this.#waits.graph.waiterCounts();
    const listed = listThings(this.#waits, this.#reporter.cycles, (index) => this.#reporter.funcOf(index));
    const alike = listed.filter(({ areAlike }) => areAlike);
    this.#alike = new Map(alike.flatMap(({ things }) => things.map((thing) => [thing, things[0] ?? thing] as const)));
  }

  /** Adds a goroutine, and returns its groups. */
  add({ goid, ...goroutine }: Goroutine): Pick<Group, 'key'>[] {
    const index = indexOf(this.#waits, goid);
    if (index === NO_GOROUTINE) return [];
    const out: OpenGroup[] = [];
    for (const thing of this.#waits.graph.thingsOf(index)) {
      const on = thingAt(this.#waits, thing);
      const first = this.#alike.get(thing);
      const isListed = first !== undefined || orderOf(on, this.#waiters[thing] ?? 0) !== null;
      if (!isListed && !this.#deadlocks.has(thing)) continue;
      let group = this.#groups.get(first ?? thing);
      if (group === undefined) this.#groups.set(first ?? thing, (group = new OpenGroup()));
      if (out.includes(group)) continue;
      group.add({ goid, ...goroutine }, () =>
        first === undefined ? { key: keyOf(on), text: this.#textOf(thing, on) } : this.#alikeTexts(thing, on, index),
      );
      out.push(group);
    }
    return out;
  }

  /** The groups so far, the largest first. */
  groups(): Group[] {
    const { n } = this.#waits.program.runtime;
    return [...this.#groups.values()].map((group) => group.close(n)).sort(bySize);
  }

  /** `chan string (unbuffered) to send in main.ask.func1, each on its own, no goroutine found that would receive`. */
  #alikeTexts(thing: number, on: WaitsOn, goroutine: number): { readonly key: string; readonly text: string } {
    const func = this.#reporter.funcOf(goroutine);
    const { kind, op } = on;
    const text = `${withoutAddress(thingText(on), on)}${verbOf(on)} in ${func}, each on its own, `;
    const key = `${kind} ${op ?? ''} ${func} ${on.elemType ?? ''}`;
    return { key, text: text + this.#reporter.endersText(thing, this.#waits.graph.endersOf(thing)) };
  }

  /** `Mutex 0xc000123450 (locked, 3 waiters), held by 91 in main.put: Unlock deferred in main.put`. */
  #textOf(thing: number, on: WaitsOn): string {
    const mark = this.#deadlocks.get(thing) ?? '';
    const ends = this.#reporter.endersText(thing, this.#waits.graph.endersOf(thing));
    return `${mark}${thingText(on)}${verbOf(on)}, ${ends}`;
  }
}

/** What goroutines are to do with it, where that is not plain. */
const VERBS: Partial<Record<NonNullable<WaitsOn['op']>, string>> = {
  send: 'to send',
  recv: 'to receive',
  rlock: 'to read-lock it',
};

function verbOf({ op }: WaitsOn): string {
  const verb = op === null ? undefined : VERBS[op];
  return verb === undefined ? '' : ` ${verb}`;
}

function keyOf({ kind, addr, op }: WaitsOn): string {
  return `${kind} ${addr === null ? '' : hex(addr)} ${op ?? ''}`.trim();
}
