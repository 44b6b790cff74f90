import { ADDR_LIMIT, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Memory, MemoryFault, onFault, type Range } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** The statuses of a goroutine (_Gidle and its like in runtime2.go), in the order of the runtime's numbers. */
export const STATUSES = [
  ...(['idle', 'runnable', 'running', 'syscall', 'waiting', 'dead'] as const),
  ...(['copystack', 'preempted', 'leaked'] as const),
] as const;
export type GoroutineStatus = (typeof STATUSES)[number];

/** The statuses of goroutines that have not ended. */
export type LiveStatus = Exclude<GoroutineStatus, 'dead'>;
export const LIVE_STATUSES: readonly LiveStatus[] = STATUSES.filter((status) => status !== 'dead');

/** The registers at which unwinding a stack starts. */
export interface StartRegisters {
  readonly pc: number;
  readonly sp: number;
  /** The link register where the CPU has one; 0 on amd64. */
  readonly lr: number;
  /** R12 on amd64, which C code preserves; absent where it is not known. */
  readonly r12?: number | null;
}

/** runtime.g (runtime2.go), the fields that reports need. */
export interface G {
  readonly addr: Addr;
  readonly goid: number;
  readonly status: GoroutineStatus;
  /** Index into waitReasonStrings; only meaningful while the status is waiting. */
  readonly waitreason: number;
  /** nanotime() when a garbage collection first saw it waiting; 0 if none has. */
  readonly waitsince: number;
  /** Counts how often it stopped running, modulo 256 (casgstatus in proc.go); null before Go 1.17. */
  readonly trackingSeq: number | null;
  readonly stack: Range;
  readonly sched: StartRegisters;
  /** The stack pointer of its outermost frame, which is goexit's. */
  readonly stktopsp: number;
  /** Both 0 outside of system calls and cgo calls. */
  readonly syscallsp: number;
  readonly syscallpc: number;
  /** The M that runs it, or 0. */
  readonly m: Addr;
  readonly lockedm: Addr;
  /** Return address of the go statement that made it. */
  readonly gopc: number;
  readonly startpc: number;
  /** 0 for none, null before Go 1.21. */
  readonly parentGoid: number | null;
  /** Pprof labels, or 0. */
  readonly labels: Addr;
  /** The slice that GODEBUG=tracebackancestors keeps, or 0. */
  readonly ancestors: Addr;
}

/**
 * True where a thread has the goroutine: its registers say where it is, and g.sched may be out of date. Such a goroutine is
 * running, or the runtime calls it waiting while it runs: to stop the world, to mark or to end a collection, to dump the heap
 * (casgstatus(gp, _Grunning, _Gwaiting) in mgc.go, mgcmark.go, proc.go, heapdump.go, 1.12+; casGToWaiting, 1.20+). One that
 * parks has its M until dropg (proc.go), which takes it after the status and trackingSeq were written.
 */
export function isOnThread({ status, m }: Pick<G, 'status' | 'm'>): boolean {
  return status === 'running' || (status === 'waiting' && m !== 0);
}

/**
 * The stack pointer that a goroutine has left behind: where it entered a system call (reentersyscall in proc.go, 1.12+), or where it
 * parked (mcall in assembly, 1.12+). It says nothing of one that is on a thread.
 */
export function savedSp({ syscallsp, sched }: Pick<G, 'syscallsp' | 'sched'>): number {
  return syscallsp === 0 ? sched.sp : syscallsp;
}

/** By number: _Gidle and so on (runtime2.go); null for unused ones. 10 and 11, _Gdeadextra, came with Go 1.26. */
export const GOROUTINE_STATUSES: readonly (GoroutineStatus | null)[] = [
  ...(['idle', 'runnable', 'running', 'syscall', 'waiting', null, 'dead', null] as const),
  ...(['copystack', 'preempted', 'leaked', 'dead'] as const),
];
/** Set in the status while the garbage collector scans the stack (_Gscan). */
export const GSCAN = 0x1000;
const MAX_STACK = 2 ** 36;
const MAX_GOROUTINES = 2 ** 27;

/** True for the bounds of a stack. Go limits a stack to 1 GB (runtime.maxstacksize); debug.SetMaxStack may raise it. */
export function areStackBounds(lo: number, hi: number): boolean {
  return hi >= lo && hi - lo <= MAX_STACK;
}

/** Offsets of the fields of {@link G} in a g, in bytes; null where the release has no such field. */
export type GoroutineOffsets = ReturnType<typeof offsetsIn>;

function offsetsIn(layouts: Layouts) {
  const g = layouts.of('g');
  const gobuf = layouts.of('gobuf');
  const sched = g.offset('sched');
  return {
    stack: g.offset('stack'),
    m: g.offset('m'),
    schedSp: sched + gobuf.offset('sp'),
    schedPc: sched + gobuf.offset('pc'),
    schedLr: sched + gobuf.offset('lr'),
    stktopsp: g.offset('stktopsp'),
    syscallsp: g.offset('syscallsp'),
    syscallpc: g.offset('syscallpc'),
    atomicstatus: g.offset('atomicstatus'),
    goid: g.offset('goid'),
    waitsince: g.offset('waitsince'),
    waitreason: g.offset('waitreason'),
    trackingSeq: g.optional('trackingSeq'),
    lockedm: g.offset('lockedm'),
    parentGoid: g.optional('parentGoid'),
    gopc: g.offset('gopc'),
    startpc: g.offset('startpc'),
    labels: g.offset('labels'),
    ancestors: g.offset('ancestors'),
  } as const;
}

/** Reads goroutines with the offsets of one release. */
export class GoroutineReader {
  readonly sizeBytes: number;
  readonly offsets: GoroutineOffsets;
  readonly #memory: Memory;

  constructor(memory: Memory, layouts: Layouts) {
    this.#memory = new Memory(memory.source);
    this.sizeBytes = layouts.of('g').sizeBytes;
    this.offsets = offsetsIn(layouts);
  }

  /** Addresses of all goroutines in the slice at `allgs`. Throws MemoryFault where any of it is damaged or absent. */
  addresses(allgs: Addr): Float64Array {
    const { addresses, absent } = this.presentAddresses(allgs);
    if (absent === 0) return addresses;
    const length = addresses.length + absent;
    throw new MemoryFault(allgs, `${absent} of the ${length} elements of runtime.allgs are not in the image`);
  }

  /** Those elements of the slice that are in the image, and how many are not. Throws MemoryFault where its header is damaged. */
  presentAddresses(allgs: Addr): { addresses: Float64Array; absent: number } {
    const list = this.#memory.ptr(allgs);
    const length = this.#memory.word(allgs, 8);
    if (length > MAX_GOROUTINES) throw new MemoryFault(allgs, `the length of runtime.allgs is ${length}`);
    const end = list + 8 * length;
    const ranges = [...this.#memory.ranges(list, end as Addr)];
    const known = ranges.reduce((sum, { lo, hi }) => sum + (hi - lo), 0);
    const out = new Float64Array(Math.floor(known / 8));
    let count = 0;
    for (const { lo, hi } of ranges) {
      for (let at = list + 8 * Math.ceil((lo - list) / 8); at + 8 <= hi; at += 8)
        out[count++] = this.#memory.word(at as Addr);
    }
    const absent = length - count;
    // Ask for what is absent: a core that was cut short there is to say that this answer is not complete.
    if (absent > 0)
      onFault(
        () => this.#memory.bytes(list, 8 * length),
        () => null,
      );
    return { addresses: out.subarray(0, count), absent };
  }

  /** The goroutine's id, or 0 where the image does not have it. */
  goidAt(addr: Addr): number {
    return onFault(
      () => this.#memory.word(addr, this.offsets.goid),
      () => 0,
    );
  }

  /** True for goroutines that ended; reads one word. */
  isDead(addr: Addr): boolean {
    return GOROUTINE_STATUSES[this.#memory.u32(addr, this.offsets.atomicstatus) & ~GSCAN] === 'dead';
  }

  /** As {@link read}, but null where that throws. */
  tryRead(addr: number): G | null {
    return onFault(
      () => this.read(addr as Addr),
      () => null,
    );
  }

  /** Throws MemoryFault where the g is absent or its words cannot be a g's. */
  read(addr: Addr): G {
    const { lo, hi, view } = this.#memory.around(addr);
    const whole = addr + this.sizeBytes <= hi ? this.inView(view, addr - lo, addr) : null;
    return whole ?? this.#readByWord(addr);
  }

  /** The goroutine whose g, of that address, lies at an offset of `view`; null where its words cannot be a g's. */
  inView(view: DataView, g: number, addr: Addr): G | null {
    const at = this.offsets;
    const status = GOROUTINE_STATUSES[view.getUint32(g + at.atomicstatus, true) & ~GSCAN] ?? null;
    const [lo, hi] = [wordAt(view, g + at.stack), wordAt(view, g + at.stack + 8)];
    const [m, lockedm] = [wordAt(view, g + at.m), wordAt(view, g + at.lockedm)];
    const [labels, ancestors] = [wordAt(view, g + at.labels), wordAt(view, g + at.ancestors)];
    if (status === null || !areStackBounds(lo, hi)) return null;
    if (Math.max(lo, hi, m, lockedm, labels, ancestors) >= ADDR_LIMIT) return null;
    return {
      addr,
      goid: wordAt(view, g + at.goid),
      status,
      waitreason: view.getUint8(g + at.waitreason),
      waitsince: wordAt(view, g + at.waitsince),
      trackingSeq: at.trackingSeq === null ? null : view.getUint8(g + at.trackingSeq),
      stack: { lo: lo as Addr, hi: hi as Addr },
      sched: {
        sp: wordAt(view, g + at.schedSp),
        pc: wordAt(view, g + at.schedPc),
        lr: wordAt(view, g + at.schedLr),
      },
      stktopsp: wordAt(view, g + at.stktopsp),
      syscallsp: wordAt(view, g + at.syscallsp),
      syscallpc: wordAt(view, g + at.syscallpc),
      m: m as Addr,
      lockedm: lockedm as Addr,
      gopc: wordAt(view, g + at.gopc),
      startpc: wordAt(view, g + at.startpc),
      parentGoid: at.parentGoid === null ? null : wordAt(view, g + at.parentGoid),
      labels: labels as Addr,
      ancestors: ancestors as Addr,
    };
  }

  /** As {@link read}, of a g that may lie in several windows, or is damaged. */
  #readByWord(addr: Addr): G {
    const memory = this.#memory;
    const at = this.offsets;
    const number = memory.u32(addr, at.atomicstatus) & ~GSCAN;
    const status = GOROUTINE_STATUSES[number];
    if (status === null || status === undefined) throw new MemoryFault(addr, `${number} is not a goroutine status`);
    const lo = memory.ptr(addr, at.stack);
    const hi = memory.ptr(addr, at.stack + 8);
    if (!areStackBounds(lo, hi)) throw new MemoryFault(addr, 'its stack has implausible bounds');
    return {
      addr,
      goid: memory.word(addr, at.goid),
      status,
      waitreason: memory.u8(addr, at.waitreason),
      waitsince: memory.word(addr, at.waitsince),
      trackingSeq: at.trackingSeq === null ? null : memory.u8(addr, at.trackingSeq),
      stack: { lo, hi },
      sched: {
        sp: memory.word(addr, at.schedSp),
        pc: memory.word(addr, at.schedPc),
        lr: memory.word(addr, at.schedLr),
      },
      stktopsp: memory.word(addr, at.stktopsp),
      syscallsp: memory.word(addr, at.syscallsp),
      syscallpc: memory.word(addr, at.syscallpc),
      m: memory.ptr(addr, at.m),
      lockedm: memory.ptr(addr, at.lockedm),
      gopc: memory.word(addr, at.gopc),
      startpc: memory.word(addr, at.startpc),
      parentGoid: at.parentGoid === null ? null : memory.word(addr, at.parentGoid),
      labels: memory.ptr(addr, at.labels),
      ancestors: memory.ptr(addr, at.ancestors),
    };
  }
}
