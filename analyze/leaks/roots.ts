import { alignDown, alignUp, plus, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import type { Memory, Range, Segment } from '../../snapshots/memory.js';
import type { Registers } from '../../snapshots/registers.js';
import type { Outcome } from '../../snapshots/leak-proof.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import { isOnThread, savedSp, type G } from '../runtime/goroutine.js';
import type { M } from '../runtime/machine.js';
import { RED_ZONE, readGoroutine } from '../runtime/memory-ranges.js';
import { BLOCK_BYTES, finalizerBlocks } from './finalizer-blocks.js';
import type { Heap } from './heap.js';
import { NotProvable } from './not-provable.js';
import { PAGE_BYTES, type Spans } from './spans.js';

/** Words of p.wbBuf: next, end and the buffer, which keeps stale pointers (mwbbuf.go, 1.12+). */
const WB_BUF_BYTES = 8 * (2 + 512);
/** Words of a special behind its header that may refer to something: those of a finalizer are the most. */
const RECORD_WORDS = 4;
/** Bytes of a thread's own stack that are looked at: its frames are the runtime's. */
const MAX_SYSTEM_STACK = 64 << 10;

/** The runtime's warning where its list of Ms is not whole. */
const MACHINES_DAMAGED = 'machines-damaged';

/** Where a marking starts: it calls `from` before it marks, with what the following words are part of. */
export type Attribute = (kind: Outcome, from: Addr) => void;

/** What the marking from threads needs. */
export interface ThreadRoots {
  /** Called with each word in registers and on stacks: a goroutine that is just being woken may be there only. */
  readonly held: (word: number) => void;
  /** Parts of threads' stacks that count beside those in the image, from the red zone on. */
  readonly lateStacks: readonly Segment[];
  /** True where only the registers are known that the kernel shows of a thread in a system call (proc_pid_syscall in fs/proc/base.c). */
  readonly areRegistersPartial: boolean;
}

/** The words of Ps that are no references although they look like some. */
export function writeBarrierBuffers({ processors, layouts }: GoRuntime): Range[] {
  const offset = layouts.of('p').offset('wbBuf');
  return processors.map(({ addr }) => ({ lo: plus(addr, offset), hi: plus(addr, offset + WB_BUF_BYTES) }));
}

/** Marks from what the runtime keeps of objects outside of the heap: specials (markrootSpans in mgcmark.go), and what is to be run. */
export function* markFinalizers(program: GoRuntime, spans: Spans, heap: Heap, attribute: Attribute): Generator<void> {
  const { memory, layouts } = program;
  const special = layouts.of('special');
  const [kind, offset, next] = [special.offset('kind'), special.offset('offset'), special.offset('next')];
  const offsetAt = kind - offset < 8 ? (at: Addr) => memory.u16(at, offset) : (at: Addr) => memory.word(at, offset);
  for (let i = 0; i < spans.length; i++) {
    const [base, bytes] = [spans.base[i] ?? 0, spans.elemBytes[i] ?? 8];
    let earlier = 0;
    let count = 0;
    for (let at = (spans.specials[i] ?? 0) as Addr; at !== 0; at = memory.ptr(at, next)) {
      if (at === earlier) throw new NotProvable("the records of a span's objects are a circle");
      // One that is passed by now and then: at each power of two.
      if ((count & (count - 1)) === 0) earlier = at;
      count++;
      attribute('finalizer', at);
      for (let word = 0; word < RECORD_WORDS; word++) {
        const field = plus(at, special.sizeBytes + 8 * word);
        if (!memory.has(field, 8)) break;
        heap.markWord(memory.u32(field), memory.u32(field, 4));
      }
      if (memory.u8(at, kind) === layouts.release.finalizerKind && spans.noscan[i] === 0) {
        const object = base + Math.floor(offsetAt(at) / bytes) * bytes;
        if (object + bytes > base + (spans.pages[i] ?? 0) * PAGE_BYTES)
          throw new NotProvable('the record of a finalizer is damaged');
        heap.markRange(memory, object, object + bytes);
      }
      yield* drained(heap);
    }
  }
  for (const block of finalizerBlocks(program, (addr) => heap.objectOf(addr) !== null)) {
    attribute('finalizer', block);
    heap.markRange(memory, block, block + BLOCK_BYTES);
    yield* drained(heap);
  }
}

/**
 * Marks from the threads that run Go code: their registers, and the stacks that they use besides that of a goroutine. Throws {@link NotProvable} where the
 * registers of such a thread are not known.
 */
export function* markThreads(
  program: GoRuntime,
  heap: Heap,
  attribute: Attribute,
  { held, lateStacks, areRegistersPartial }: ThreadRoots,
): Generator<void> {
  const { memory, machines } = program;
  if (program.warnings.some(({ code }) => code === MACHINES_DAMAGED))
    throw new NotProvable('the list of its threads is damaged');
  for (const m of machines) {
    const running = m.curg === 0 ? null : readGoroutine(program, m.curg);
    // Without a P, it runs no Go code but what ends or begins a system call.
    if (m.p === 0 && (running === null || !isOnThread(running))) continue;
    const registers = program.threadOf(m)?.registers ?? null;
    if (registers === null) throw new NotProvable(`the registers of the thread of M ${m.id} are not known`);
    // In a system call, Go code keeps nothing in others than those of its arguments: no register survives a call (ABIInternal).
    if (areRegistersPartial && !isInSystemCall(registers))
      throw new NotProvable(`not all registers of M ${m.id} are known, whose thread was in the middle of code`);
    attribute('thread', m.addr);
    markBytes(heap, registers.bytes, held);
    for (const { lo, hi } of stacksOf(program, m, Number(registers.sp))) {
      markPresent(memory, heap, lo, hi);
      eachWord(memory, lo, hi, held);
    }
    for (const bytes of partsOf(lateStacks, program, m)) markBytes(heap, bytes, held);
    const own = running === null ? null : stackInUse(program, running);
    if (own !== null) eachWord(memory, own.lo, own.hi, held);
    yield* drained(heap);
  }
}

/** The number of the system call is -1 outside of one. */
function isInSystemCall(registers: Registers): boolean {
  return registers.arch === 'amd64' && BigInt.asIntN(64, registers.get('orig_rax')) >= 0n;
}

/** Marks from words that are not in the image's memory, and calls `held` with each. */
function markBytes(heap: Heap, bytes: Uint8Array, held: (word: number) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i + 8 <= bytes.length; i += 8) {
    heap.markWord(view.getUint32(i, true), view.getUint32(i + 4, true));
    held(wordAt(view, i));
  }
}

/** Of the late stacks those of an M, up to where its stacks end. */
function* partsOf(lateStacks: readonly Segment[], program: GoRuntime, { g0, gsignal, curg }: M): Iterable<Uint8Array> {
  for (const address of [g0, gsignal, curg]) {
    const stack = address === 0 ? null : (readGoroutine(program, address)?.stack ?? null);
    for (const { addr, bytes } of stack === null ? [] : lateStacks) {
      if (stack !== null && addr + RED_ZONE > stack.lo && addr < stack.hi) yield bytes.subarray(0, stack.hi - addr);
    }
  }
}

/** The parts in use of an M's own stacks: g0's from where it was left or where the thread is, and gsignal's. */
function stacksOf(program: GoRuntime, { g0, gsignal }: M, sp: number): Range[] {
  return [g0, gsignal].flatMap((address) => {
    const g = address === 0 ? null : readGoroutine(program, address);
    if (g === null) return [];
    const { lo, hi } = g.stack;
    const starts = [sp, g.sched.sp].filter((at) => at > lo && at <= hi);
    if (starts.length === 0) return [];
    const from = Math.max(lo, alignDown((Math.min(...starts) - RED_ZONE) as Addr, 8)) as Addr;
    return [{ lo: from, hi: Math.min(hi, from + MAX_SYSTEM_STACK) as Addr }];
  });
}

/** Marks from a range of which parts may be absent: stacks that C made have no exact bounds. */
function markPresent(memory: Memory, heap: Heap, lo: Addr, hi: Addr): void {
  for (const range of memory.ranges(lo, hi)) heap.markRange(memory, alignUp(range.lo, 8), range.hi);
}

function eachWord(memory: Memory, lo: Addr, hi: Addr, use: (word: number) => void): void {
  for (const range of memory.ranges(lo, hi)) {
    for (let at = alignUp(range.lo, 8); at + 8 <= range.hi; at = plus(at, 8)) use(memory.word(at));
  }
}

/** The part of a goroutine's stack that it uses: all of it where that is not known. */
export function stackInUse(program: GoRuntime, g: G): Range {
  const { lo, hi } = g.stack;
  let sp = savedSp(g);
  if (isOnThread(g)) {
    const machine = program.machineAt(g.m);
    const registers = machine === null ? null : (program.threadOf(machine)?.registers ?? null);
    sp = registers === null ? 0 : Number(registers.sp) - RED_ZONE;
  } else if (g.status === 'copystack') sp = 0;
  return { lo: sp > lo && sp <= hi ? alignUp(sp as Addr, 8) : lo, hi };
}

/** Calls `use` with the words of a goroutine's stack that are present. */
export function eachStackWord(program: GoRuntime, g: G, use: (word: number) => void): void {
  const { lo, hi } = stackInUse(program, g);
  if (hi - lo <= MAX_STACK) eachWord(program.memory, lo, hi, use);
}

/** Go limits a stack to 1 GB (runtime.maxstacksize). */
export const MAX_STACK = 2 ** 30;

/** Marks what was not marked yet. */
export function* drained(heap: Heap): Generator<void> {
  while (heap.drain()) yield;
}
