import type { Arch } from '../../snapshots/arch.js';
import type { StartRegisters } from '../runtime/goroutine.js';
import type { StackMemory } from './stack-memory.js';

/**
 * Offsets in struct rt_sigframe, in bytes from the stack pointer at which the kernel calls the handler, after the return
 * address on amd64: <asm/ucontext.h>, <asm/sigcontext.h>. On amd64 ucontext comes first; on arm64 after 128 bytes of
 * siginfo. `ucStack` is ucontext.uc_stack.ss_sp; ss_size follows 16 bytes later.
 */
const LAYOUT = {
  amd64: { pc: 168, sp: 160, lr: null, ucStack: 16 },
  arm64: { pc: 128 + 440, sp: 128 + 432, lr: 128 + 424, ucStack: 128 + 16 },
} as const satisfies Record<Arch, { pc: number; sp: number; lr: number | null; ucStack: number }>;

/** Registers of the code that a signal interrupted, from the signal frame at `frame`. Throws MemoryFault. */
export function interruptedRegisters(memory: StackMemory, arch: Arch, frame: number): StartRegisters {
  const layout = LAYOUT[arch];
  return {
    pc: memory.pointer(frame + layout.pc, 'pc in the ucontext'),
    sp: memory.pointer(frame + layout.sp, 'sp in the ucontext'),
    lr: layout.lr === null ? 0 : memory.word(frame + layout.lr, 'lr in the ucontext'),
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
