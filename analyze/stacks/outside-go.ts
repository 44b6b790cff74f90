import { hex } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { CodeIndex } from './code-index.js';
import { interruptedRegisters, isSignalFrame } from './signal-frame.js';
import type { StackMemory } from './stack-memory.js';
import { positionOf, type Position, type RuleCode, type Step } from './step.js';
import { isOnSystemStack, type UnwindStart } from './unwind-start.js';

/**
 * The step from code that is not Go's, where a thread stood or a signal came: C code, or the kernel's vDSO. Its frames
 * cannot be followed, but Go code that switches stacks to call it keeps its own registers. Throws MemoryFault.
 */
export function stepFromOutside(
  memory: StackMemory,
  arch: Arch,
  code: CodeIndex,
  { user, machine }: UnwindStart,
  at: Position,
): Step {
  if (!at.trap || machine === null || !isOnSystemStack(user, at.sp)) {
    return end('unknown-code', `no Go function at ${hex(at.pc)}`);
  }
  const { vdso, systemSp, signal } = machine;
  memory.known(signal.lo, 'gsignal.stack.lo');
  memory.known(signal.hi, 'gsignal.stack.hi');
  // The handler itself is found by its own frames. What is left is the C library's restorer, to which it returns.
  if (at.sp > signal.lo && at.sp <= signal.hi) {
    if (!isSignalFrame(memory, arch, at.sp, signal)) return end('c-signal-handler', 'in C code that handles a signal');
    return goOn('c-signal-frame', positionOf(interruptedRegisters(memory, arch, at.sp), true));
  }
  // nanotime1, walltime1 and time.now save their caller's registers before they call the vDSO (sys_linux_*.s).
  memory.known(vdso.sp, 'm.vdsoSP');
  if (vdso.sp !== 0) {
    memory.known(vdso.pc, 'm.vdsoPC');
    return goOn('vdso', { pc: vdso.pc, sp: vdso.sp, lr: 0, trap: false });
  }
  // asmcgocall saves the goroutine's registers in g.sched before it calls C (asm_*.s). What calls C on the system stack
  // without it leaves what an earlier switch has saved there.
  if (user.sched.sp === 0 || isInRaceDetector(memory, code, systemSp)) {
    return end('unknown-c-caller', 'in C code that keeps no trace of its caller');
  }
  memory.known(user.sched.pc, 'g.sched.pc');
  memory.known(user.sched.sp, 'g.sched.sp');
  return goOn('outside-go', positionOf(user.sched, false));
}

/**
 * True where racecall has called C: it switches to g0.sched.sp, aligned to 16 bytes, without saving anything, so that
 * its return address lies right below (race_amd64.s, race_arm64.s).
 */
function isInRaceDetector(memory: StackMemory, code: CodeIndex, systemSp: number): boolean {
  if (memory.known(systemSp, 'g0.sched.sp') === 0) return false;
  const pc = memory.word(systemSp - (systemSp % 16) - 8, 'return address, were it in racecall');
  return code.at(pc)?.special === 'racecall';
}

function goOn(rule: RuleCode, next: Position): Step {
  return { rule, frame: null, next, truncated: null };
}

function end(rule: RuleCode, truncated: string): Step {
  return { rule, frame: null, next: null, truncated };
}
