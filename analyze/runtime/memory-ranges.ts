import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Range } from '../../snapshots/memory.js';
import type { Thread } from '../../snapshots/image.js';
import { RangeList } from '../../snapshots/runs.js';
import type { Registers } from '../../snapshots/registers.js';
import type { GoRuntime } from './go-runtime.js';
import { isOnThread, savedSp, type G } from './goroutine.js';
import type { M } from './machine.js';
import { slotsOf } from './size-classes.js';

/** Bytes kept of a goroutine's stack, from its innermost frame outwards. A deeper stack is cut, and reported as cut. */
const MAX_STACK_KEPT = 8 << 20;
/** Bytes kept of a system stack. They are shallow, though the one of a cgo program's first thread is 8 MB long. */
const MAX_SYSTEM_STACK_KEPT = 64 << 10;
/** Bytes kept of a stack whose goroutine is on another stack now; most are smaller. */
const MAX_LEFT_STACK = 256 << 10;
/** Bytes read of every system stack, from this far below the place where the thread last switched to it. */
const PLANNED_SYSTEM_STACK = 8 << 10;
const SYSTEM_STACK_SLACK = 2 << 10;
/**
 * On a stack made by C, g0.stack.hi is the address of a local variable of mstart0 (mstart before 1.17, proc.go), so the
 * frames of that function and of its caller lie above it. Stacks made by the runtime end at a multiple of their size.
 */
const ABOVE_SYSTEM_STACK = 256;
const ALIGNED = 1024;
/** amd64's red zone, in bytes, which leaf code may use below the stack pointer. */
export const RED_ZONE = 128;
/** Stacks up to this size are planned whole: neighbours merge into long runs, which are cheaper than many short ones. */
const SMALL_STACK = 8 << 10;
/** How much deeper than at planning a goroutine with a large stack may be parked in the stop without a second read. */
const SLACK = 1 << 10;

/** The part of a stack in use when its innermost frame is at `sp`, `most` bytes at most; null if `sp` is not on it. */
export function usedStack(lo: number, hi: number, sp: number, most = MAX_STACK_KEPT): Range | null {
  const from = usedFrom(lo, hi, sp);
  return from < 0 ? null : { lo: from as Addr, hi: usedTo(from, hi, most) as Addr };
}

/** As {@link usedStack}, without an object, for the stop: where that part starts, or -1. */
export function usedFrom(lo: number, hi: number, sp: number): number {
  return sp <= lo || sp > hi ? -1 : Math.max(lo, sp - RED_ZONE);
}

/** Where the part in use ends that starts at `from`. */
export function usedTo(from: number, hi: number, most = MAX_STACK_KEPT): number {
  return Math.min(hi, from + most);
}

/** The part of a goroutine's stack to read before the stop: all of a small stack, and the part in use of a large one. */
export function plannedStack(lo: number, hi: number, sp: number): Range | null {
  if (hi - lo <= SMALL_STACK) return { lo: lo as Addr, hi: hi as Addr };
  return usedStack(lo, hi, Math.max(lo + 1, sp - SLACK));
}

/**
 * The runtime's own records: every moduledata, globals, allgs, every g, M, P and sched. They are read in the stop. Whatever else the
 * analysis reads is found by recording its reads.
 */
export function runtimeRanges(program: GoRuntime, goroutines: Float64Array): RangeList {
  const { memory, layouts, globals, machines } = program;
  const out = new RangeList();
  const add = (at: Addr, length: number): void => {
    if (at !== 0) out.add(at, at + length);
  };
  const gSize = layouts.of('g').sizeBytes;
  for (const { module } of program.code.modules) add(module.addr, module.layout.sizeBytes);
  add(globals.allgs, 24);
  add(globals.allp, 24);
  add(globals.allm, 8);
  if (globals.gomaxprocs !== null) add(globals.gomaxprocs, 4);
  if (globals.gcphase !== null) add(globals.gcphase, 4);
  add(globals.sched, layouts.of('schedt').sizeBytes);
  add(memory.ptr(globals.allgs), 8 * goroutines.length);
  add(memory.ptr(globals.allp), 8 * memory.word(globals.allp, 8));
  for (const p of program.processors) add(p.addr, layouts.of('p').sizeBytes);
  for (const m of machines) out.addAll(machineRanges(program, m));
  const gs = new RangeList();
  for (const at of goroutines) gs.add(at, at + gSize);
  out.addAll(slotsOf(gs, gSize));
  return out;
}

/** An M, its g0 and gsignal, and the part of its system stack that a thread waiting for work uses. */
export function machineRanges(program: GoRuntime, m: M): Range[] {
  const gSize = program.layouts.of('g').sizeBytes;
  const out = [{ lo: m.addr, hi: plus(m.addr, program.layouts.of('m').sizeBytes) }];
  for (const g of [m.g0, m.gsignal]) if (g !== 0) out.push({ lo: g, hi: plus(g, gSize) });
  const g0 = m.g0 === 0 ? null : readGoroutine(program, m.g0);
  if (g0 !== null) {
    const { lo, hi } = g0.stack;
    const system = usedStack(lo, hi, Math.max(lo + 1, g0.sched.sp - SYSTEM_STACK_SLACK), PLANNED_SYSTEM_STACK);
    if (system !== null) out.push(system);
    if (system !== null && !isMadeByRuntime(hi)) out.push(aboveSystemStack(hi));
  }
  return out;
}

/** The goroutine whose g is at an address; null if it is dead, or cannot be read just now. */
export function readGoroutine(program: GoRuntime, address: Addr): G | null {
  return onFault(
    () => (program.goroutineReader.isDead(address) ? null : program.goroutineReader.read(address)),
    () => null,
  );
}

/** The part in use of every stack, of threads and of goroutines: of all unless given. */
export function* usedStacks(
  program: GoRuntime,
  threads: readonly Thread[],
  goroutines: Iterable<G> = program.goroutines(),
): Iterable<Range> {
  for (const g of goroutines) {
    const range = usedStack(g.stack.lo, g.stack.hi, savedSp(g));
    if (range !== null) yield range;
  }
  const positions = positionsOf(threads, ({ namespaceTid }) => namespaceTid);
  yield* threadStacks(program, program.machines, positions);
}

/** Where a stopped thread is on its stack. */
export interface ThreadPosition {
  readonly namespaceTid: number;
  readonly sp: number;
}

/** Where threads are on their stacks: those of which the registers are known. */
export function positionsOf<T extends { readonly registers: Registers | null }>(
  threads: readonly T[],
  namespaceTid: (thread: T) => number,
): ThreadPosition[] {
  return threads.flatMap((thread) => {
    const { registers } = thread;
    return registers === null ? [] : [{ namespaceTid: namespaceTid(thread), sp: Number(registers.sp) }];
  });
}

/**
 * The stacks that stopped threads use: of the goroutine that runs, of g0 and, in a signal handler, of gsignal. What cannot
 * be read is left out: the analysis will report it.
 */
export function threadStacks(program: GoRuntime, machines: readonly M[], threads: readonly ThreadPosition[]): Range[] {
  const byTid = new Map(threads.map((thread) => [thread.namespaceTid, thread.sp]));
  const out: Range[] = [];
  for (const m of machines) {
    const sp = byTid.get(m.procid) ?? 0;
    const curg = m.curg === 0 ? null : readGoroutine(program, m.curg);
    if (curg !== null) {
      addLeftStack(out, curg, sp);
      addStack(out, curg, sp, MAX_STACK_KEPT);
    }
    for (const address of [m.g0, m.gsignal]) {
      const g = address === 0 ? null : readGoroutine(program, address);
      if (g !== null) addStack(out, g, sp, MAX_SYSTEM_STACK_KEPT);
    }
  }
  return out;
}

/**
 * Adds the stack of a goroutine whose thread is on another stack now, in a signal handler or the vDSO. Its last stack
 * pointer is not known, so its outermost 256 kB are taken. `sp` is 0 where it is not known.
 */
function addLeftStack(out: Range[], g: G, sp: number): void {
  const { lo, hi } = g.stack;
  if (sp === 0 || !isOnThread(g) || (sp > lo && sp <= hi)) return;
  out.push({ lo: Math.max(lo, hi - MAX_LEFT_STACK) as Addr, hi });
}

/** Adds the part in use of a g's stack, from the thread's stack pointer and from its saved one. */
function addStack(out: Range[], { stack: { lo, hi }, sched }: G, sp: number, most: number): void {
  const before = out.length;
  for (const at of [sp, sched.sp]) {
    const used = usedStack(lo, hi, at, most);
    if (used !== null) out.push(used);
  }
  if (!isMadeByRuntime(hi) && out.length > before) out.push(aboveSystemStack(hi));
}

function isMadeByRuntime(hi: Addr): boolean {
  return hi % ALIGNED === 0;
}

/** What lies above `hi` of a stack made by C. */
function aboveSystemStack(hi: Addr): Range {
  return { lo: hi, hi: plus(hi, ABOVE_SYSTEM_STACK) };
}
