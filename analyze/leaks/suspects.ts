import { plus, type Addr } from '../../snapshots/address.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import { isOnThread, type G } from '../runtime/goroutine.js';
import { COND_REASON, isBlocked, WaitReader } from '../runtime/wait-records.js';

/** Reasons of goroutines that nothing can ever wake (chan.go, select.go). */
const NEVER = /^(chan (receive|send) \(nil chan\)|select \(no cases\))$/;
/** The main goroutine may end in `select {}` on purpose: it is not called leaked, though nothing wakes it (mgc.go, 1.27). */
const MAIN = 1;
const EMPTY_SELECT = 'select (no cases)';
/** Reasons of those that other goroutines can wake: isChanWait and isSyncWait in runtime2.go (1.26+). */
const WOKEN = /^(chan (receive|send)|select|sync\.(Cond\.Wait|Mutex\.Lock|RWMutex\.R?Lock|WaitGroup\.Wait))$/;
/** From the release on that has this reason (1.24), `semacquire` is only for waits that are not of package sync. */
const NEWEST_SYNC = 'sync.WaitGroup.Wait';
const OTHER_SEMAPHORE = 'semacquire';
const MOST_REASONS = 128;
const WORD = 8;

/** Goroutines that are leaked unless something reaches what they wait on. */
export class Suspects {
  /** The g of each. */
  readonly gs: Addr[] = [];
  /** The main goroutine, if it waits for nothing. */
  onPurpose: Addr | null = null;
  /** By suspect, where the addresses that it waits on begin in `addresses`; the same for its deferred calls. */
  readonly #first: number[] = [0];
  readonly #addresses: Addr[] = [];
  readonly #firstDeferred: number[] = [0];
  readonly #deferred: Addr[] = [];
  /** By the address of a g, the number of the suspect; the same for sudogs. */
  readonly #byG = new Map<Addr, number>();
  readonly #bySudog = new Map<Addr, number>();
  /** Words that are no references: what sudogs say of the wait, and what suspects will do once they go on. */
  readonly hidden = new RangeList();

  get length(): number {
    return this.gs.length;
  }

  /** The addresses that a suspect waits on; none if nothing can wake it. */
  addressesOf(suspect: number): readonly Addr[] {
    return this.#addresses.slice(this.#first[suspect], this.#first[suspect + 1]);
  }

  /** Where the hidden words of a suspect are that the runtime's own rule takes for references: all but those of what it waits on. */
  deferredOf(suspect: number): readonly Addr[] {
    return this.#deferred.slice(this.#firstDeferred[suspect], this.#firstDeferred[suspect + 1]);
  }

  /** The suspect whose g is at an address; undefined for none. */
  withG(g: Addr): number | undefined {
    return this.#byG.get(g);
  }

  /** The suspect that waits in the sudog at an address; undefined for none. */
  withSudog(sudog: Addr): number | undefined {
    return this.#bySudog.get(sudog);
  }

  add(g: Addr, addresses: readonly Addr[], sudogs: readonly Addr[], deferred: readonly Addr[]): void {
    const suspect = this.gs.push(g) - 1;
    this.#addresses.push(...addresses);
    this.#first.push(this.#addresses.length);
    this.#deferred.push(...deferred);
    this.#firstDeferred.push(this.#deferred.length);
    this.#byG.set(g, suspect);
    for (const sudog of sudogs) this.#bySudog.set(sudog, suspect);
    for (const at of deferred) this.hidden.add(at, at + WORD);
  }
}

/**
 * Finds the suspects. A goroutine about whose wait anything is absent or odd is none: it counts as one that can run. What is
 * hidden is what setSyncObjectsUntraceable hides (mgcmark.go, 1.26+), and also the deferred calls of suspects.
 */
export function findSuspects(program: GoRuntime): Suspects {
  const out = new Suspects();
  const { layouts, waitReasons } = program;
  const waits = new WaitReader(program);
  const sudog = layouts.of('sudog');
  const g = layouts.of('g');
  const [c, elem, deferred] = [sudog.offset('c'), sudog.offset('elem'), g.offset('_defer')];
  const wordsOfPointer = layouts.release.sudogPointer + WORD;
  const numbers = Array.from({ length: MOST_REASONS }, (_, i) => i);
  const isNew = numbers.some((number) => waitReasons.at(number) === NEWEST_SYNC);
  for (const goroutine of program.goroutines('stack')) {
    const reason = waitReasons.at(goroutine.waitreason) ?? '';
    if (!isParked(goroutine)) continue;
    if (NEVER.test(reason)) {
      out.add(goroutine.addr, [], [], [plus(goroutine.addr, deferred)]);
      if (goroutine.goid === MAIN && reason === EMPTY_SELECT) out.onPurpose = goroutine.addr;
      continue;
    }
    const onSemaphore = reason === OTHER_SEMAPHORE && !isNew;
    if (!onSemaphore && !WOKEN.test(reason)) continue;
    const found = waits.waitsFor(goroutine);
    if (found === null || found.sudogs.length === 0) continue;
    const { sudogs, sync } = found;
    const onChannels = !onSemaphore && !reason.startsWith('sync.');
    const on = onChannels ? sudogs.map((one) => one.c) : [sync];
    if (on.includes(0 as Addr) || (reason === COND_REASON && sync === 0)) continue;
    const addresses = sudogs.map(({ addr }) => addr);
    const given = onChannels ? addresses.map((at) => plus(at, elem + layouts.release.sudogPointer)) : [];
    out.add(goroutine.addr, on, addresses, [...given, plus(goroutine.addr, deferred)]);
    for (const at of addresses) {
      out.hidden.add(at + c, at + c + wordsOfPointer);
      out.hidden.add(at + elem, at + elem + wordsOfPointer);
    }
  }
  return out;
}

function isParked(g: G): boolean {
  return isBlocked(g) && !isOnThread(g);
}
