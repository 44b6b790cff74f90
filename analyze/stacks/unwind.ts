import { hex, plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/image.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import type { CodeIndex, CodePoint } from './code-index.js';
import { specialFunc } from './func-ids.js';
import { interruptedRegisters, type StartRegisters } from './signal-frame.js';

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

export interface UnwindStart {
  readonly registers: StartRegisters;
  /** True where `registers.pc` came from a trap or from a thread. */
  readonly trap: boolean;
  /** g.syscallpc: functions that write SP did so only after it was taken. */
  readonly syscall: boolean;
  /** The goroutine's own stack. */
  readonly user: UserStack;
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

const TOP_FRAME = 1;
const SP_WRITE = 2;

type Step = { readonly end: string | null } | { readonly next: StartRegisters; readonly trap: boolean };

/**
 * Follows stacks by the function tables as runtime/traceback.go does (unwinder, 1.21+; gentraceback before), from 1.12
 * to 1.27 on both CPUs, without stopping where the runtime would throw: what cannot be followed ends with a reason.
 */
export class Unwinder {
  readonly #memory: Memory;
  readonly #arch: Arch;
  readonly #code: CodeIndex;

  constructor(memory: Memory, arch: Arch, code: CodeIndex) {
    this.#memory = new Memory(memory.source);
    this.#arch = arch;
    this.#code = code;
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
      const point = this.#code.at(registers.pc);
      if (point === null) {
        if (frames.length > 0 || !this.#onSystemStack(start, registers.sp))
          return `no Go function at ${hex(registers.pc)}`;
        registers = start.user.sched;
        trap = false;
        continue;
      }
      if (frames.length >= limit) return null;
      const step = this.#step(start, point, registers, trap, frames);
      if ('end' in step) return step.end;
      if (step.next.pc === registers.pc && step.next.sp === registers.sp) return `stuck at ${hex(registers.sp)}`;
      if (specialFunc(point.func.name) === 'sigtramp' && ++signals > MAX_SIGNAL_FRAMES) {
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
    const sp = this.#arch === 'amd64' ? registers.sp + 8 : registers.sp;
    return { registers: { pc, sp, lr: 0 }, trap };
  }

  /** Adds the frame at `registers` and says where the one above it is. */
  #step(start: UnwindStart, point: CodePoint, registers: StartRegisters, trap: boolean, frames: PhysicalFrame[]): Step {
    const { func } = point;
    const special = specialFunc(func.name);
    const innermost = frames.length === 0;
    let { sp } = registers;
    let spWrite = (func.flag & SP_WRITE) !== 0 && special !== 'cgocallback' && !(innermost && start.syscall);
    if (this.#onSystemStack(start, registers.sp)) {
      if (special === 'morestack' || special === 'mcall') return { next: start.user.sched, trap: false };
      if (special === 'systemstack' && !(this.#arch === 'arm64' && point.spDelta === 0)) {
        sp = start.user.sched.sp;
        spWrite = false;
      }
    }
    const delta = point.spDelta;
    if (delta === null) return { end: innermost ? `no frame information for ${func.name}` : null };
    const fp = sp + delta + (this.#arch === 'amd64' ? 8 : 0);
    frames.push({ point, pc: registers.pc, sp, fp, trap });
    if (isOutermost(special, func.flag)) return { end: null };
    if (special === 'sigtramp') {
      return { next: interruptedRegisters(this.#memory, this.#arch, fp as Addr), trap: true };
    }
    if (spWrite) return { end: `${func.name} switches stacks` };
    return this.#caller(point, { ...registers, sp }, fp, innermost);
  }

  #caller(point: CodePoint, at: StartRegisters, fp: number, innermost: boolean): Step {
    const { func } = point;
    let { lr } = at;
    if (this.#arch === 'amd64') lr = this.#memory.ptr((fp - 8) as Addr);
    else if ((innermost && at.sp < fp) || lr === 0) lr = this.#memory.ptr(at.sp as Addr);
    if (lr === 0) return { end: null };
    const special = specialFunc(func.name);
    const injected = special === 'sigpanic' || special === 'injectedCall';
    if (!injected || this.#arch === 'amd64') return { next: { pc: lr, sp: fp, lr: 0 }, trap: injected };
    return this.#behindInjected(lr, fp);
  }

  /** arm64: sighandler stores the interrupted function's LR before it fakes a call. */
  #behindInjected(pc: number, sp: number): Step {
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

/** TOPFRAME since Go 1.17; by name before (topofstack). */
function isOutermost(special: ReturnType<typeof specialFunc>, flag: number): boolean {
  return (
    (flag & TOP_FRAME) !== 0 ||
    special === 'goexit' ||
    special === 'mstart' ||
    special === 'rt0_go' ||
    special === 'mcall'
  );
}
