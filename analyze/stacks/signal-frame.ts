import { plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { Memory } from '../../snapshots/memory.js';
import type { StartRegisters } from '../runtime/goroutine.js';

/**
 * Offsets in struct rt_sigframe behind the frame of the handler, which the kernel calls: <asm/ucontext.h>,
 * <asm/sigcontext.h>. amd64: the return address is popped, ucontext follows; arm64: siginfo lies before ucontext.
 */
const LAYOUT = {
  amd64: { pc: 168, sp: 160, lr: null },
  arm64: { pc: 128 + 440, sp: 128 + 432, lr: 128 + 424 },
} as const satisfies Record<Arch, { pc: number; sp: number; lr: number | null }>;

/** The interrupted code's registers, from the signal frame above a handler whose caller's stack pointer is `fp`. */
export function interruptedRegisters(memory: Memory, arch: Arch, fp: Addr): StartRegisters {
  const layout = LAYOUT[arch];
  return {
    pc: memory.ptr(plus(fp, layout.pc)),
    sp: memory.ptr(plus(fp, layout.sp)),
    lr: layout.lr === null ? 0 : memory.word(plus(fp, layout.lr)),
  };
}

/** ucontext.uc_stack: where the signal stack begins, and behind its flags how long it is. */
const UC_STACK = { amd64: 16, arm64: 128 + 16 } as const satisfies Record<Arch, number>;

/** Whether a signal frame that was made on `stack` lies at `fp`: as the C library's restorer, which has no frame, stands. */
export function isSignalFrame(memory: Memory, arch: Arch, fp: Addr, stack: { lo: number; hi: number }): boolean {
  const at = UC_STACK[arch];
  return memory.word(fp, at) === stack.lo && memory.word(fp, at + 16) === stack.hi - stack.lo;
}
