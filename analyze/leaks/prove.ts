import type { Addr } from '../../snapshots/address.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { OUTCOMES, type LeakProof, type Outcome } from '../../snapshots/leak-proof.js';
import { MemoryFault, type Segment } from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';
import type { GoProgram } from '../program.js';
import { GlobalRoots } from './global-roots.js';
import { Heap } from './heap.js';
import { NotProvable } from './not-provable.js';
import { drained, markFinalizers, markThreads, writeBarrierBuffers, type Attribute } from './roots.js';
import { readSpans } from './spans.js';
import { StackPointers } from './stack-pointers.js';
import { findSuspects, type Suspects } from './suspects.js';

/** Goroutines whose stacks are marked before others get their turn. */
const STEP_STACKS = 4096;

/** How a proof is made. */
export interface ProofOptions {
  /** Bytes of the heap that may hold pointers, at most: it takes up to half as much memory here. */
  readonly maxHeapBytes: number;
  /** Parts of threads' stacks that count beside those in the image, whose memory may lack them. */
  readonly lateStacks?: readonly Segment[] | undefined;
  /** True where only some registers of threads are known: those of a frozen process. */
  readonly areRegistersPartial?: boolean | undefined;
  /** Called with the bytes of the heap that were read so far. */
  readonly progress?: ((bytes: number) => void) | undefined;
}

/**
 * Proves which blocked goroutines nothing can ever wake: what they wait on is reached from nothing that can run. As Go's own
 * leak detection does (findGoroutineLeaks in mgc.go, 1.26+), everything is marked from the global variables and from the stacks of
 * goroutines that can run; a blocked goroutine of which something is marked counts as one of those from then on. Yields every
 * few milliseconds. Throws {@link NotProvable}.
 */
export function* proveLeaks(program: GoProgram, options: ProofOptions): Generator<void, LeakProof> {
  try {
    return yield* new Prover(program, options).prove();
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    throw new NotProvable(`a part of the memory that it needs cannot be read: ${error.message}`);
  }
}

class Prover {
  readonly #program: GoProgram;
  readonly #options: ProofOptions;
  readonly #suspects: Suspects;
  /** By suspect, an index into OUTCOMES; `leaked` until it is reached. */
  readonly #outcomes: Uint8Array;
  readonly #from: Float64Array;
  /** Those that were reached, and whose stacks are to be marked. */
  readonly #woken: number[] = [];
  /** The gs and sudogs that threads hold. */
  readonly #held = new Set<Addr>();
  #kind: Outcome = 'outside';
  #source = 0 as Addr;
  /** True once the deferred calls of suspects are looked at. */
  #isDeferred = false;

  constructor(program: GoProgram, options: ProofOptions) {
    this.#program = program;
    this.#options = options;
    this.#suspects = findSuspects(program);
    this.#outcomes = new Uint8Array(this.#suspects.length);
    this.#from = new Float64Array(this.#suspects.length);
  }

  *prove(): Generator<void, LeakProof> {
    const { memory } = this.#program;
    const { maxHeapBytes, lateStacks = [], areRegistersPartial = false, progress = () => undefined } = this.#options;
    const spans = readSpans(this.#program, this.#program.memory);
    if (spans.scanBytes > maxHeapBytes) throw new NotProvable(tooLarge(spans.scanBytes, maxHeapBytes));
    const heap = new Heap(memory, spans);
    const stacks = new StackPointers(this.#program, heap);
    const hidden = this.#suspects.hidden;
    hidden.addAll(writeBarrierBuffers(this.#program));
    yield* heap.readReferences(memory, new Runs(hidden, 0), progress);
    this.#awaitObjects(heap);
    const globals = new GlobalRoots(this.#program, heap);
    const threadRoots = { held: (word: number) => this.#hold(word), lateStacks, areRegistersPartial };
    yield* this.#markRoots(heap, stacks, () => globals.markVariables(this.#attribute));
    yield* this.#markRoots(heap, stacks, () => markFinalizers(this.#program, spans, heap, this.#attribute));
    yield* this.#markRoots(heap, stacks, () => this.#markGoroutines(heap, stacks));
    yield* this.#markRoots(heap, stacks, () => markThreads(this.#program, heap, this.#attribute, threadRoots));
    yield* this.#markRoots(heap, stacks, () => globals.markHeldBack(this.#attribute));
    yield* this.#markRoots(heap, stacks, () => this.#markDeferred(heap));
    return this.#result();
  }

  readonly #attribute: Attribute = (kind, from) => {
    this.#kind = kind;
    this.#source = from;
  };

  /** Has suspects be woken by what they wait on. Those that wait on something outside of the heap can be woken by anybody. */
  #awaitObjects(heap: Heap): void {
    const waiters = new Map<number, number[]>();
    for (let suspect = 0; suspect < this.#suspects.length; suspect++) {
      for (const address of this.#suspects.addressesOf(suspect)) {
        const object = heap.objectOf(address);
        if (object === null || object === 'free') {
          this.#attribute('outside', address);
          this.#wake(suspect);
          continue;
        }
        const others = waiters.get(object);
        if (others === undefined) waiters.set(object, [suspect]);
        else others.push(suspect);
      }
    }
    heap.await(waiters.keys(), (object) => {
      for (const suspect of waiters.get(object) ?? []) this.#wake(suspect);
    });
  }

  #wake(suspect: number): void {
    if (this.#outcomes[suspect] !== 0) return;
    this.#outcomes[suspect] = OUTCOMES.indexOf(this.#isDeferred ? 'leaked but deferred' : this.#kind);
    this.#from[suspect] = this.#isDeferred ? 0 : this.#source;
    this.#woken.push(suspect);
  }

  /** Marks from roots, and then from the stacks of all goroutines that these wake. */
  *#markRoots(heap: Heap, stacks: StackPointers, roots: () => Generator<void>): Generator<void> {
    yield* roots();
    for (let count = 0; this.#woken.length > 0; count++) {
      const suspect = this.#woken.pop() ?? 0;
      const g = this.#suspects.gs[suspect] ?? (0 as Addr);
      this.#attribute('goroutine', g);
      this.#markDeferredOf(heap, suspect);
      stacks.mark(this.#program.goroutineReader.read(g));
      yield* drained(heap);
      if (count % STEP_STACKS === 0) yield;
    }
  }

  *#markGoroutines(heap: Heap, stacks: StackPointers): Generator<void> {
    let count = 0;
    for (const g of this.#program.goroutines('stack')) {
      this.#attribute('goroutine', g.addr);
      heap.markWord(g.addr % 2 ** 32, Math.floor(g.addr / 2 ** 32));
      if (this.#suspects.withG(g.addr) === undefined) stacks.mark(g);
      yield* drained(heap);
      if (++count % STEP_STACKS === 0) yield;
    }
    if (this.#program.unreadable > 0) throw new NotProvable('some goroutines cannot be read');
  }

  /** Marks from what the runtime counts as references of suspects that nothing else reaches. */
  *#markDeferred(heap: Heap): Generator<void> {
    this.#isDeferred = true;
    for (let suspect = 0; suspect < this.#suspects.length; suspect++) {
      if (this.#outcomes[suspect] !== 0) continue;
      this.#markDeferredOf(heap, suspect);
      yield* drained(heap);
    }
  }

  #markDeferredOf(heap: Heap, suspect: number): void {
    const { memory } = this.#program;
    for (const at of this.#suspects.deferredOf(suspect)) heap.markWord(memory.u32(at), memory.u32(at, 4));
  }

  /**
   * A word in a register or on the stack of a thread: the suspect that it names is just being woken, and so are those behind it in the list of
   * those to wake (closechan in chan.go, notifyListNotifyAll in sema.go).
   */
  #hold(word: number): void {
    const { layouts, memory } = this.#program;
    const [schedlink, next] = [layouts.of('g').offset('schedlink'), layouts.of('sudog').offset('next')];
    let at = word as Addr;
    for (;;) {
      const [byG, bySudog] = [this.#suspects.withG(at), this.#suspects.withSudog(at)];
      const suspect = byG ?? bySudog;
      if (suspect === undefined || this.#held.has(at)) return;
      this.#held.add(at);
      this.#wake(suspect);
      at = memory.ptr(at, byG === undefined ? next : schedlink);
    }
  }

  #result(): LeakProof {
    const gs = Float64Array.from(this.#suspects.gs);
    const order = ascendingOrder(gs).filter((i) => gs[i] !== this.#suspects.onPurpose);
    return {
      gs: Float64Array.from(order, (i) => gs[i] ?? 0),
      outcomes: Uint8Array.from(order, (i) => this.#outcomes[i] ?? 0),
      from: Float64Array.from(order, (i) => this.#from[i] ?? 0),
      names: new Map(),
    };
  }
}

function tooLarge(bytes: number, max: number): string {
  const [has, may] = [bytes, max].map((size) => `${(size / 2 ** 20).toFixed(0)} MB`);
  return `the heap has ${has ?? ''} that may hold pointers, more than the ${may ?? ''} allowed`;
}
