import type { Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { Memory } from '../../snapshots/memory.js';
import type { StartRegisters } from '../runtime/goroutine.js';
import type { StackMemory } from './stack-memory.js';

/**
 * Offsets in struct rt_sigframe, in bytes from the stack pointer at which the kernel calls the handler, after the return
 * address on amd64: <asm/ucontext.h>, <asm/sigcontext.h>. On amd64 ucontext comes first; on arm64 after 128 bytes of
 * siginfo. `ucStack` is ucontext.uc_stack.ss_sp; ss_size follows 16 bytes later, and uc_link is the word before it.
 */
const LAYOUT = {
  amd64: { pc: 168, sp: 160, lr: null, r12: 72, ucStack: 16, siginfo: 304 },
  arm64: { pc: 128 + 440, sp: 128 + 432, lr: 128 + 424, r12: null, ucStack: 128 + 16, siginfo: 0 },
} as const satisfies Record<
  Arch,
  Readonly<Record<'pc' | 'sp' | 'ucStack' | 'siginfo', number> & Record<'lr' | 'r12', number | null>>
>;

/** siginfo_t: <asm-generic/siginfo.h>. `addr` is si_addr of a fault; `pid` is si_pid of a signal that a process sent. */
const SIGINFO = { errno: 4, code: 8, addr: 16, pid: 16 } as const;
/** Numbers of signals: _NSIG. */
const SIGNALS = 64;

/** Registers of the code that a signal interrupted, from the signal frame at `frame`. Throws MemoryFault. */
export function interruptedRegisters(memory: StackMemory, arch: Arch, frame: number): StartRegisters {
  const layout = LAYOUT[arch];
  return {
    pc: memory.pointer(frame + layout.pc, 'pc in the ucontext'),
    sp: memory.pointer(frame + layout.sp, 'sp in the ucontext'),
    lr: layout.lr === null ? 0 : memory.word(frame + layout.lr, 'lr in the ucontext'),
    r12: layout.r12 === null ? null : memory.word(frame + layout.r12, 'r12 in the ucontext'),
  };
}

/**
 * True where a signal frame on the signal stack `stack` lies at `frame`: its uc_stack names that stack. So it does at SP
 * in the C library's restorer, which the handler returns to. Throws MemoryFault.
 */
export function isSignalFrame(
  memory: StackMemory,
  arch: Arch,
  frame: number,
  stack: { lo: number; hi: number },
): boolean {
  const at = frame + LAYOUT[arch].ucStack;
  return (
    memory.word(at, 'ss_sp in the ucontext') === stack.lo &&
    memory.word(at + 16, 'ss_size in the ucontext') === stack.hi - stack.lo
  );
}

/** What siginfo_t says of a signal. */
export interface CaughtSignal {
  readonly number: number;
  /** si_code: above 0 if the kernel sent it, as for a fault. */
  readonly code: number;
  /** si_addr; only faults have one. */
  readonly addr: bigint;
  /** si_pid, as the receiver's pid namespace has it; only signals from processes have one. */
  readonly pid: number;
}

/**
 * The signals whose handlers a thread with its SP on the signal stack `stack` is in, the first one first: the kernel puts
 * the frame of a signal that interrupts a handler below that of the handler. Throws MemoryFault where they are absent.
 */
export function* caughtSignals(
  memory: Memory,
  arch: Arch,
  stack: { lo: number; hi: number },
  sp: number,
): Iterable<CaughtSignal> {
  if (sp <= stack.lo || sp > stack.hi) return;
  const { ucStack } = LAYOUT[arch];
  for (let at = stack.hi - (stack.hi % 8) - 32; at >= sp; at -= 8) {
    if (memory.word(at as Addr) !== stack.lo || memory.word(at as Addr, 16) !== stack.hi - stack.lo) continue;
    if (memory.word(at as Addr, -8) !== 0) continue;
    const signal = signalAt(memory, arch, at - ucStack);
    if (signal !== null) yield signal;
  }
}

/** The signal of the signal frame at `frame`; null where no signal can be described there. Throws MemoryFault. */
export function signalAt(memory: Memory, arch: Arch, frame: number): CaughtSignal | null {
  const info = (frame + LAYOUT[arch].siginfo) as Addr;
  const number = memory.i32(info);
  if (number <= 0 || number > SIGNALS || memory.i32(info, SIGINFO.errno) !== 0) return null;
  return {
    number,
    code: memory.i32(info, SIGINFO.code),
    addr: memory.u64(info, SIGINFO.addr),
    pid: memory.i32(info, SIGINFO.pid),
  };
}
