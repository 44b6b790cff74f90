import type { Addr } from '../snapshots/address.js';
import { onFault } from '../snapshots/memory.js';
import type { PointerField, Reads } from './analysis.js';
import { ANALYSES } from './analyses.js';
import type { GoProgram } from './program.js';
import type { G } from './runtime/goroutine.js';

/** Each part once: analyses share them. */
const ALL: readonly Reads[] = [...new Set(ANALYSES.flatMap(({ reads }) => reads))];
const POINTED = ALL.flatMap(({ pointed }) => pointed ?? []);
/** Of deeper stacks every frame is looked at. */
const MAX_PCS = 4096;

/** Reads what the analyses need of a program however many goroutines it has. */
export function readFixed(program: GoProgram): void {
  for (const read of ALL.flatMap(({ fixed }) => fixed ?? [])) ignoringFaults(() => read(program));
}

/** Reads what a field of goroutines points to, at `addresses`; 0 is skipped. */
export function readPointed(program: GoProgram, field: PointerField, addresses: Iterable<Addr>): void {
  const reads = POINTED.filter((pointed) => pointed.field === field);
  for (const at of addresses) {
    if (at === 0) continue;
    for (const { read } of reads) ignoringFaults(() => read(program, at));
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
 * which their stacks are quick to read. Returns how many there were.
 */
export function readWorkingSet(program: GoProgram, goroutines: Iterable<G> = program.goroutines()): number {
  readFixed(program);
  const ofThreads = ALL.flatMap(({ thread }) => thread?.(program) ?? []);
  for (const m of program.machines) {
    for (const read of ofThreads) ignoringFaults(() => read(m));
  }
  const ofGoroutines = ALL.flatMap(({ goroutine }) => goroutine?.(program) ?? []);
  const places = new Places(program);
  let count = 0;
  for (const g of goroutines) {
    places.readOf(g);
    for (const read of ofGoroutines) ignoringFaults(() => read(g));
    for (const { field, read } of POINTED) if (g[field] !== 0) ignoringFaults(() => read(program, g[field]));
    count++;
  }
  return count;
}

/** Reads what the analyses need of the places where the frames of goroutines stand, of each once. */
class Places {
  readonly #program: GoProgram;
  readonly #reads;
  readonly #pcs = new Float64Array(MAX_PCS);
  /** Places of frames that are no traps. */
  readonly #known = new Set<number>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#reads = ALL.flatMap(({ place }) => place?.(program) ?? []);
  }

  readOf(g: G): void {
    if (this.#areKnown(this.#program.pcsOfWhole(g, this.#pcs))) return;
    for (const frame of this.#program.stackOf(g).frames) {
      for (const read of this.#reads) ignoringFaults(() => read(frame));
      if (!frame.trap) this.#known.add(frame.pc);
    }
  }

  /** Whether the first pcs, of which there is at least one, are known: a whole stack has no traps. */
  #areKnown(count: number): boolean {
    for (let i = 0; i < count; i++) if (!this.#known.has(this.#pcs[i] ?? 0)) return false;
    return count > 0;
  }
}

/** What cannot be read will be missing from the snapshot, and reports on the snapshot will say so. */
function ignoringFaults(read: () => unknown): void {
  onFault(read, () => undefined);
}
