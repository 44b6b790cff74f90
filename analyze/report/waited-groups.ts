import { hex } from '../../snapshots/address.js';
import type { GoProgram } from '../program.js';
import { isSure, type WaitsOn } from '../waits/model.js';
import { indexOf, NO_GOROUTINE, thingAt, type Waits } from '../waits/program-waits.js';
import { findWaits } from '../waits/waits.js';
import { bySize, OpenGroup, type Group } from './groups.js';
import type { Goroutine } from './model.js';
import { orderOf, thingText } from './wait-texts.js';
import { WaitReporter } from './waits.js';

/**
 * Groups goroutines by what they wait on that others have to end: locks, WaitGroups, channels. One that waits in a select is in a
 * group for each of its channels, and most are in none.
 */
export class WaitedGrouping {
  readonly #waits: Waits;
  readonly #reporter: WaitReporter;
  /** What deadlocks lead over, each with a word for that. */
  readonly #deadlocks: ReadonlyMap<number, string>;
  readonly #waiters: Uint32Array;
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
  }

  /** Adds a goroutine, and returns its groups. */
  add({ goid, ...goroutine }: Goroutine): Pick<Group, 'key'>[] {
    const index = indexOf(this.#waits, goid);
    if (index === NO_GOROUTINE) return [];
    const out: OpenGroup[] = [];
    for (const thing of this.#waits.graph.thingsOf(index)) {
      const on = thingAt(this.#waits, thing);
      if (orderOf(on, this.#waiters[thing] ?? 0) === null && !this.#deadlocks.has(thing)) continue;
      let group = this.#groups.get(thing);
      if (group === undefined) this.#groups.set(thing, (group = new OpenGroup()));
      group.add({ goid, ...goroutine }, () => ({ key: keyOf(on), text: this.#textOf(thing, on) }));
      out.push(group);
    }
    return out;
  }

  /** The groups so far, the largest first. */
  groups(): Group[] {
    const { n } = this.#waits.program.runtime;
    return [...this.#groups.values()].map((group) => group.close(n)).sort(bySize);
  }

  /** `Mutex 0xc000123450 (locked, 3 waiters), held by 91 in main.put: Unlock deferred in main.put`. */
  #textOf(thing: number, on: WaitsOn): string {
    const verb = on.op === null ? undefined : VERBS[on.op];
    const mark = this.#deadlocks.get(thing) ?? '';
    const ends = this.#reporter.endersText(on, this.#waits.graph.endersOf(thing));
    return `${mark}${thingText(on)}${verb === undefined ? '' : ` ${verb}`}, ${ends}`;
  }
}

/** What goroutines are to do with it, where that is not plain. */
const VERBS: Partial<Record<NonNullable<WaitsOn['op']>, string>> = {
  send: 'to send',
  recv: 'to receive',
  rlock: 'to read-lock it',
};

function keyOf({ kind, addr, op }: WaitsOn): string {
  return `${kind} ${addr === null ? '' : hex(addr)} ${op ?? ''}`.trim();
}
