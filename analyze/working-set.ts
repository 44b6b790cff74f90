import type { Addr } from '../snapshots/address.js';
import { MemoryFault, onFault } from '../snapshots/memory.js';
import type { PointerField, Reads } from './analysis.js';
import { ANALYSES } from './analyses.js';
import type { GoProgram } from './program.js';
import type { G } from './runtime/goroutine.js';
import { StackIds, type KnownStack } from './stack-ids.js';

/** Each part once: analyses share them. */
const ALL: readonly Reads[] = [...new Set(ANALYSES.flatMap(({ reads }) => reads))];
const POINTED = ALL.flatMap(({ pointed }) => pointed ?? []);

/** Reads what the analyses need of a program however many goroutines it has. */
export function readFixed(program: GoProgram): void {
  for (const read of ALL.flatMap(({ fixed }) => fixed ?? [])) ignoringFaults(() => read(program));
}

/** Reads what a field of goroutines points to, at `addresses`; 0 is skipped. */
export function readPointed(program: GoProgram, field: PointerField, addresses: Iterable<Addr>): void {
  const reads = POINTED.filter((pointed) => pointed.field === field);
  for (const at of addresses) {
    if (at === 0) continue;
    for (const { read } of reads) attempt(read, program, at);
  }
}

/** Reads what the code of the frames of some goroutines names. */
export function readNamed(program: GoProgram, goroutines: Iterable<G>): void {
  const reads = ALL.flatMap(({ named }) => named?.(program) ?? []);
  for (const g of goroutines) {
    for (const read of reads) ignoringFaults(() => read(g));
  }
}

/**
 * Reads everything that the analyses need of a program, goroutine by goroutine. `goroutines` are all of them, in an order in
 * which their stacks are quick to read. `kindOf` returns, where it is known, something that a goroutine has in common with those
 * whose stacks have the same return addresses: of these one is followed. Returns how many goroutines there were.
 */
export function readWorkingSet(
  program: GoProgram,
  goroutines: Iterable<G> = program.goroutines(),
  kindOf: (g: G) => object | null = () => null,
): number {
  readFixed(program);
  const ofThreads = ALL.flatMap(({ thread }) => thread?.(program) ?? []);
  for (const m of program.machines) {
    for (const read of ofThreads) ignoringFaults(() => read(m));
  }
  const ofGoroutines = ALL.flatMap(({ goroutine }) => goroutine?.(program) ?? []);
  const places = new Places(program);
  const stacks = new KindsOfStacks(program, kindOf);
  let count = 0;
  for (const g of goroutines) {
    const known = stacks.of(g);
    places.readOf(known);
    for (const read of ofGoroutines) attempt(read, g, known);
    for (const { field, read } of POINTED) if (g[field] !== 0) attempt(read, program, g[field]);
    count++;
  }
  return count;
}

/** The stacks of goroutines, of each kind one. */
class KindsOfStacks {
  readonly #program: GoProgram;
  readonly #kindOf: (g: G) => object | null;
  readonly #ids = new StackIds();
  readonly #known = new Map<object, KnownStack>();

  constructor(program: GoProgram, kindOf: (g: G) => object | null) {
    this.#program = program;
    this.#kindOf = kindOf;
  }

  of(g: G): KnownStack {
    const kind = this.#kindOf(g);
    let known = kind === null ? undefined : this.#known.get(kind);
    if (known === undefined) {
      known = this.#ids.find(this.#program, g).known;
      if (kind !== null) this.#known.set(kind, known);
    }
    return known;
  }
}

/** Reads what the analyses need of the places where the frames of goroutines stand, of each once. */
class Places {
  readonly #reads;
  readonly #stacks = new WeakSet<KnownStack>();
  /** Places of frames that are no traps. */
  readonly #known = new Set<number>();

  constructor(program: GoProgram) {
    this.#reads = ALL.flatMap(({ place }) => place?.(program) ?? []);
  }

  readOf(stack: KnownStack): void {
    if (this.#stacks.has(stack)) return;
    this.#stacks.add(stack);
    for (const frame of stack.frames) {
      if (!frame.trap && this.#known.has(frame.pc)) continue;
      for (const read of this.#reads) ignoringFaults(() => read(frame));
      if (!frame.trap) this.#known.add(frame.pc);
    }
  }
}

/** What cannot be read will be missing from the snapshot, and reports on the snapshot will say so. */
function ignoringFaults(read: () => unknown): void {
  onFault(read, () => undefined);
}

/** The same without a function for each read: there are millions. */
function attempt<A, B>(read: (a: A, b: B) => unknown, a: A, b: B): void {
  try {
    read(a, b);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
  }
}
