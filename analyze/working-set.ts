import type { Addr } from '../snapshots/address.js';
import { MemoryFault } from '../snapshots/memory.js';
import type { GoProgram } from './program.js';
import { LocationResolver } from './report/locations.js';
import type { Unwound } from './stacks/unwind.js';
import { readGcPhase, readSched } from './runtime/sched.js';

/** The runtime has fewer wait reasons in every release. */
const REASONS = 64;
/** ELF header, program headers and notes lie in the first page. */
const HEADERS = 4096;
const SLICE_HEADER = 24;
const POINTED = 3;

/**
 * Reads everything of a program that does not grow with its goroutines. Over memory that records, what was read is what
 * a snapshot needs.
 */
export function exerciseRuntime(program: GoProgram): void {
  for (let reason = 1; reason < REASONS; reason++) program.waitReasons.at(reason);
  quietly(() => program.processors);
  quietly(() => program.machines);
  quietly(() => program.gomaxprocs);
  quietly(() => readSched(program.memory, program.layouts, program.globals));
  quietly(() => readGcPhase(program.memory, program.globals));
  for (const at of program.globals.variables) quietly(() => follow(program, at));
  readHeaders(program);
}

/** A variable that debuggers may ask for, and where it points: modulesSlice leads to a slice, and that to its elements. */
function follow({ memory }: GoProgram, variable: Addr): void {
  let at = variable;
  for (let step = 0; step < POINTED; step++) {
    memory.bytes(at, SLICE_HEADER);
    at = memory.ptr(at);
  }
}

/** The first page of the executable, with its headers and build ids: by it debuggers and gospy tell what ran. */
function readHeaders({ image, memory }: GoProgram): void {
  const first = image.mappings.find(({ path, fileOffset }) => path === image.executable.path && fileOffset === 0);
  if (first !== undefined) quietly(() => memory.bytes(first.start, HEADERS));
}

/** Reads sets of pprof labels. */
export function exerciseLabels(program: GoProgram, labels: Iterable<Addr>): void {
  for (const set of labels) quietly(() => program.labelReader.read(set));
}

/** Reads what the runtime keeps of goroutines' ancestors. */
export function exerciseAncestors(program: GoProgram, ancestors: readonly Addr[]): void {
  for (const list of ancestors) quietly(() => program.ancestorReader.read(list));
}

/** Follows every stack, of goroutines and threads, and looks up every place and label, as the reports will. */
export function exerciseStacks(program: GoProgram): void {
  const places = new LocationResolver(program);
  const look = (stack: Unwound | null): void => {
    for (const frame of stack?.frames ?? []) frame.point.lines(frame.trap);
  };
  for (const m of program.machines) quietly(() => look(program.threadStackOf(m)));
  for (const g of program.goroutines()) {
    quietly(() => {
      places.entry(g);
      places.creator(g);
      places.current(g);
      look(program.stackOf(g));
      program.labelReader.read(g.labels);
      places.ancestors(g);
    });
  }
}

/** What cannot be read will be missing, and be reported, when the snapshot is read. */
function quietly(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
  }
}
