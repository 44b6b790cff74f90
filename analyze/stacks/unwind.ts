import { hex, plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import type { CodeIndex, CodePoint } from './code-index.js';
import { fakesCall, leavesStack, writesSp, type SpecialFunc } from './special-functions.js';
import { interruptedRegisters, isSignalFrame } from './signal-frame.js';
import type { StartRegisters } from '../runtime/goroutine.js';

/** One function call on a stack; inlined calls are not told apart yet ({@link CodePoint.lines} does). */
export interface PhysicalFrame {
  readonly point: CodePoint;
  readonly pc: number;
  /** Stack pointer in this frame. */
  readonly sp: number;
  /** Stack pointer of the caller once this call has returned, as a traceback prints it. */
  readonly fp: number;
  /** True where `pc` is an instruction to be executed (a trap, a signal, a thread's registers), no return address. */
  readonly trap: boolean;
}

/** A goroutine's saved registers, and the stack that they belong to: where the system stack leads back to. */
export interface UserStack {
  readonly lo: number;
  readonly hi: number;
  readonly sched: StartRegisters;
}

/** What the M of a running goroutine has kept of its switches between stacks. */
export interface MachineState {
  /** m.g0.sched.sp: where the system stack was begun. 0: not known. */
  readonly systemSp: number;
  /** The stack of signal handlers; both 0 where it is not known. */
  readonly signal: { readonly lo: number; readonly hi: number };
  /** m.vdsoPC and m.vdsoSP: the caller of the function that asks the kernel for the time; 0 outside of it. */
  readonly vdso: { readonly pc: number; readonly sp: number };
}

export interface UnwindStart {
  readonly registers: StartRegisters;
  /** True where `registers.pc` came from a trap or from a thread. */
  readonly trap: boolean;
  /** g.syscallpc: functions that write SP did so only after it was taken. */
  readonly syscall: boolean;
  /** The goroutine's own stack. */
  readonly user: UserStack;
  /** null where `registers` are no thread's. */
  readonly machine: MachineState | null;
}

/** A stack as far as it could be followed. */
export interface Unwound {
  readonly frames: readonly PhysicalFrame[];
  /** Why the stack ends before its outermost function; null where it is whole. */
  readonly truncated: string | null;
}

/** Deeper stacks are cut: a runaway recursion fills a gigabyte with ten million frames. */
const MAX_FRAMES = 50_000;
/** A signal handler that was interrupted by another, and so on. */
const MAX_SIGNAL_FRAMES = 8;

/** Up to Go 1.16, systemstack begins its stack with a return address to mstart. Below that, it was called on it already. */
const MSTART_PUSHED = 8;

const TOP_FRAME = 1;
const SP_WRITE = 2;

interface Next {
  readonly next: StartRegisters;
  readonly trap: boolean;
}
type Step = { readonly end: string | null } | Next;

/**
 * Follows stacks by the function tables as runtime/traceback.go does (unwinder, 1.21+; gentraceback before), from 1.12
 * to 1.27 on both CPUs, without stopping where the runtime would throw: what cannot be followed ends with a reason.
 */
export class Unwinder {
  readonly #memory: Memory;
  readonly #arch: Arch;
  readonly #code: CodeIndex;
  /** Bytes between a caller's frame and the one it calls: the return address, where it is pushed. */
  readonly #pushed: number;

  constructor(memory: Memory, arch: Arch, code: CodeIndex) {
    this.#memory = new Memory(memory.source);
    this.#arch = arch;
    this.#code = code;
    this.#pushed = arch === 'amd64' ? 8 : 0;
  }

  /** All frames, innermost first, at most `limit`. Never throws for what lies in the target's memory. */
  unwind(start: UnwindStart, limit = MAX_FRAMES): Unwound {
    const frames: PhysicalFrame[] = [];
    let truncated: string | null = null;
    try {
      truncated = this.#walk(start, frames, limit);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      truncated = error.message;
    }
    return { frames, truncated };
  }

  #walk(start: UnwindStart, frames: PhysicalFrame[], limit: number): string | null {
    let { registers, trap } = this.#callNil(start);
    let signals = 0;
    for (let steps = 0; steps <= MAX_FRAMES; steps++) {
      if (frames.length >= limit) return null;
      const point = this.#code.at(registers.pc);
      const step =
        point === null ? this.#outsideGo(start, registers, trap) : this.#step(start, point, registers, trap, frames);
      if ('end' in step) return step.end;
      if (step.next.pc === registers.pc && step.next.sp === registers.sp) return `stuck at ${hex(registers.sp)}`;
      if (point?.special === 'sigtramp' && ++signals > MAX_SIGNAL_FRAMES) {
        return `more than ${MAX_SIGNAL_FRAMES} signal frames`;
      }
      registers = step.next;
      trap = step.trap;
    }
    return `deeper than ${MAX_FRAMES} frames`;
  }

  /** A call of a nil function: begin in the caller's frame. */
  #callNil(start: UnwindStart): { registers: StartRegisters; trap: boolean } {
    const { registers, trap } = start;
    if (registers.pc !== 0) return { registers, trap };
    const pc = this.#memory.ptr(registers.sp as Addr);
    return { registers: { pc, sp: registers.sp + this.#pushed, lr: 0 }, trap };
  }

  /**
   * In C code or the kernel's vDSO, where a thread stood or a signal came: back to the Go code that called it, by what
   * that kept. Where it kept nothing, g.sched is of an earlier switch.
   */
  #outsideGo(start: UnwindStart, registers: StartRegisters, trap: boolean): Step {
    const { user, machine } = start;
    if (!trap || machine === null || !this.#onSystemStack(start, registers.sp)) {
      return { end: `no Go function at ${hex(registers.pc)}` };
    }
    const { vdso, systemSp, signal } = machine;
    if (registers.sp > signal.lo && registers.sp <= signal.hi) {
      const frame = registers.sp as Addr;
      if (!isSignalFrame(this.#memory, this.#arch, frame, signal)) return { end: 'in C code that handles a signal' };
      return { next: interruptedRegisters(this.#memory, this.#arch, frame), trap: true };
    }
    if (vdso.sp !== 0) return { next: { ...vdso, lr: 0 }, trap: false };
    if (user.sched.sp === 0 || this.#inRaceDetector(systemSp))
      return { end: 'in C code that keeps no trace of its caller' };
    return { next: user.sched, trap: false };
  }

  /** racecall (race_*.s) goes to where the system stack begins without saving anything: its return address is there. */
  #inRaceDetector(systemSp: number): boolean {
    if (systemSp === 0) return false;
    const pc = this.#memory.word((systemSp - (systemSp % 16) - 8) as Addr);
    return this.#code.at(pc)?.special === 'racecall';
  }

  /** Adds the frame at `registers` and says where the one above it is. */
  #step(start: UnwindStart, point: CodePoint, registers: StartRegisters, trap: boolean, frames: PhysicalFrame[]): Step {
    const { func, special } = point;
    const innermost = frames.length === 0;
    const delta = point.spDelta;
    let { sp } = registers;
    let spWrite = ((func.flag & SP_WRITE) !== 0 || writesSp(special)) && special !== 'cgocallback';
    if (innermost && start.syscall) spWrite = false;
    if (this.#onSystemStack(start, registers.sp)) {
      if (special === 'morestack' || special === 'mcall') return { next: start.user.sched, trap: false };
      if (special === 'gogo') spWrite = false;
      const { machine } = start;
      if (special === 'systemstack' && !(this.#arch === 'arm64' && delta === 0)) {
        const switched = !innermost || machine === null || sp >= machine.systemSp - MSTART_PUSHED;
        if (switched) sp = start.user.sched.sp;
        spWrite = false;
      }
      if (special === 'clock' && trap && machine !== null && delta !== null) {
        if (machine.vdso.sp !== 0) sp = machine.vdso.sp - this.#pushed - delta;
        spWrite = false;
      }
    } else if (start.user.sched.pc !== 0 && leavesStack(special)) {
      if (special === 'gogo' && trap) return { next: { ...start.user.sched, sp }, trap: false };
      spWrite = false;
    }
    if (delta === null) return { end: innermost ? `no frame information for ${func.name}` : null };
    const fp = sp + delta + this.#pushed;
    frames.push({ point, pc: registers.pc, sp, fp, trap });
    if (special === 'sigtramp' || special === 'sigreturn') {
      const frame = (special === 'sigtramp' ? fp : sp) as Addr;
      return this.#interrupted(interruptedRegisters(this.#memory, this.#arch, frame), frames[0]);
    }
    if (isOutermost(start, special, func.flag)) return { end: null };
    if (spWrite) return { end: `${func.name} switches stacks` };
    return this.#caller(point, { ...registers, sp }, fp, innermost || trap);
  }

  /** Undoes what a handler, `handler` its innermost frame, has done of the call that it is about to fake. */
  #interrupted(next: StartRegisters, handler: PhysicalFrame | undefined): Step {
    const special = this.#code.at(next.pc)?.special;
    const faked = special === 'sigpanic' || special === 'injectedCall';
    if (faked || handler?.trap !== true || !handler.point.lines(true).some(({ name }) => fakesCall(name)))
      return { next, trap: true };
    const pushed = this.#arch === 'amd64' ? this.#memory.word(next.sp as Addr) : null;
    if (pushed === next.pc) return { next: { ...next, sp: next.sp + this.#pushed }, trap: true };
    const half = pushed === null || this.#code.at(pushed)?.func.entry === this.#code.at(next.pc)?.func.entry;
    return half ? { end: 'its signal handler is about to make it call something' } : { next, trap: true };
  }

  /** `live`: the registers are those of this very frame, the link register among them. */
  #caller(point: CodePoint, at: StartRegisters, fp: number, live: boolean): Step {
    const { special } = point;
    let { lr } = at;
    if (this.#arch === 'amd64') lr = this.#memory.ptr((fp - 8) as Addr);
    else if ((live && at.sp < fp) || lr === 0) lr = this.#memory.ptr(at.sp as Addr);
    if (lr === 0) return { end: null };
    const injected = special === 'sigpanic' || special === 'injectedCall';
    if (!injected || this.#arch === 'amd64') return { next: { pc: lr, sp: fp, lr: 0 }, trap: injected };
    return this.#behindInjected(lr, fp);
  }

  /** arm64: sighandler stores the interrupted function's LR before it fakes a call. */
  #behindInjected(pc: number, sp: number): Next {
    const savedLr = this.#memory.ptr(sp as Addr);
    const above = this.#code.at(pc);
    const next = {
      pc: above === null ? savedLr : pc,
      sp: plus(sp as Addr, 16),
      lr: above?.spDelta === 0 ? savedLr : 0,
    };
    return { next, trap: true };
  }

  /** True on g0's or the signal stack while a goroutine waits to be come back to. */
  #onSystemStack({ user }: UnwindStart, sp: number): boolean {
    return user.sched.pc !== 0 && !(sp > user.lo && sp <= user.hi);
  }
}

/** TOPFRAME since Go 1.17; by name before (topofstack). The last two begin what a thread does without a goroutine. */
function isOutermost({ user }: UnwindStart, special: SpecialFunc | null, flag: number): boolean {
  if ((flag & TOP_FRAME) !== 0 || special === 'goexit' || special === 'mstart' || special === 'rt0_go') return true;
  return user.sched.pc === 0 && (special === 'mcall' || special === 'morestack');
}
