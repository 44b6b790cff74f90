import type { Addr } from '../snapshots/address.js';
import { MemoryFault, onFault } from '../snapshots/memory.js';
import type { PointerField, Reads } from './analysis.js';
import { ANALYSES } from './analyses.js';
import type { GoProgram } from './program.js';
import { alone, type Alike, type AlikeGoroutines, type Member } from './alike.js';
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

/** Reads what the analyses need of the stacks of some goroutines, and of where their frames stand. */
export function readOnStacks(program: GoProgram, goroutines: Iterable<G>): void {
  const onStacks = new StackReads(program);
  for (const g of goroutines) ignoringFaults(() => onStacks.readOf(g, null));
}

/**
 * Reads everything that the analyses need of a program. Of `goroutines` that are alike it reads one, unless their values may lead
 * to more.
 */
export function readWorkingSet(program: GoProgram, goroutines: AlikeGoroutines = new EveryGoroutine(program)): void {
  readFixed(program);
  const ofThreads = ALL.flatMap(({ thread }) => thread?.(program) ?? []);
  for (const m of program.machines) {
    for (const read of ofThreads) ignoringFaults(() => read(m));
  }
  const onStacks = new StackReads(program);
  const mayDiffer = new Map<Alike, boolean>();
  const isWanted = (alike: Alike): boolean => {
    const known = mayDiffer.get(alike);
    if (known === undefined) mayDiffer.set(alike, onStacks.mayDiffer(alike));
    return known ?? true;
  };
  for (const { g, alike } of goroutines.members(isWanted)) {
    onStacks.readOf(g, alike);
    for (const { field, read } of POINTED) if (g[field] !== 0) attempt(read, program, g[field]);
  }
  readPointed(program, 'labels', goroutines.labels());
  const ofTypes = ALL.flatMap(({ elemType }) => elemType?.(program) ?? []);
  for (const type of goroutines.elemTypes) {
    for (const read of ofTypes) ignoringFaults(() => read(type));
  }
}

/** Goroutines of which none is known to be like another. */
class EveryGoroutine implements AlikeGoroutines {
  readonly #program: GoProgram;
  readonly elemTypes: readonly Addr[] = [];

  constructor(program: GoProgram) {
    this.#program = program;
  }

  members(): Iterable<Member> {
    return alone(this.#program.goroutines());
  }

  labels(): Iterable<Addr> {
    return [];
  }
}

/** Reads what the analyses need of the stacks of goroutines, and of the places where their frames stand. */
class StackReads {
  readonly #program: GoProgram;
  readonly #reads;
  readonly #places: Places;
  readonly #ids = new StackIds();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#reads = ALL.flatMap(({ goroutine }) => goroutine?.(program) ?? []);
    this.#places = new Places(program);
  }

  /** Whether the values on stacks that are alike may lead to different places. */
  mayDiffer({ stack }: Alike): boolean {
    return onFault(
      () => this.#reads.some((reads) => reads.mayDiffer?.(stack) === true),
      () => true,
    );
  }

  readOf(g: G, alike: Alike | null): void {
    const stack = alike?.stack ?? this.#ids.find(this.#program, g).known;
    this.#places.readOf(stack);
    for (const { read } of this.#reads) attempt(read, g, stack);
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
