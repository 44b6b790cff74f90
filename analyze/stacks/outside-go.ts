import { hex } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { CodeIndex, CodePoint } from './code-index.js';
import { keptStackPointers, raceCallReturn } from './race-call.js';
import { interruptedRegisters, isSignalFrame } from './signal-frame.js';
import type { StackMemory } from './stack-memory.js';
import { positionOf, type Position, type RuleCode, type Step } from './step.js';
import { isOnSystemStack, type UnwindStart } from './unwind-start.js';

/**
 * The step from code that is not Go's, where a thread stood or a signal came: C code, or the kernel's vDSO. Its frames
 * cannot be followed, but Go code that switches stacks to call it keeps its own registers. `leadsToGoexit` tells whether a
 * stack from a position on is whole. Throws MemoryFault.
 */
export function stepFromOutside(
  memory: StackMemory,
  arch: Arch,
  code: CodeIndex,
  start: UnwindStart,
  at: Position,
  leadsToGoexit: (at: Position) => boolean,
): Step {
  const { user, machine } = start;
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
    return goOn('vdso', { pc: vdso.pc, sp: vdso.sp, lr: 0, trap: false, r12: null });
  }
  const inRaceCall = raceCallReturn(memory, code, systemSp);
  if (inRaceCall !== null) return fromRaceCall(memory.unwatched(), code, start, at, inRaceCall, leadsToGoexit);
  // asmcgocall saves the goroutine's registers in g.sched before it calls C (asm_*.s). What calls C on the system stack
  // without it leaves what an earlier switch has saved there: on arm64, the race detector's calls cannot be told from it.
  if (user.sched.sp === 0 || (arch === 'arm64' && code.has('runtime.racecall'))) {
    return end('unknown-c-caller', 'in C code that keeps no trace of its caller');
  }
  memory.known(user.sched.pc, 'g.sched.pc');
  memory.known(user.sched.sp, 'g.sched.sp');
  return goOn('outside-go', positionOf(user.sched, false));
}

/**
 * The step from C code to the frame of racecall on the goroutine's stack. C code has kept its SP, in R12 or stored; of what may
 * be that, the one is right from which the stack can be followed to its end. Two that are stored are one too many.
 */
function fromRaceCall(
  memory: StackMemory,
  code: CodeIndex,
  { user, machine }: UnwindStart,
  at: Position,
  point: CodePoint,
  leadsToGoexit: (at: Position) => boolean,
): Step {
  const next = (sp: number): Position => ({ pc: point.pc, sp, lr: 0, trap: false, r12: null });
  const { inRegister, stored } = keptStackPointers(memory, code, user, at, point, machine?.systemSp ?? 0);
  if (inRegister !== null && leadsToGoexit(next(inRegister))) return goOn('race-call', next(inRegister));
  const [sp, another] = [...stored].filter((sp) => leadsToGoexit(next(sp)));
  if (sp === undefined || another !== undefined) {
    return end('unknown-c-caller', 'in C code of the race detector, whose caller is not certain');
  }
  return goOn('race-call', next(sp));
}

function goOn(rule: RuleCode, next: Position): Step {
  return { rule, frame: null, next, truncated: null };
}

function end(rule: RuleCode, truncated: string): Step {
  return { rule, frame: null, next: null, truncated };
}
