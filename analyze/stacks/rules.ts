import { hex } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { MemoryFault } from '../../snapshots/memory.js';
import { FuncFlag } from '../binary/function-table.js';
import type { StartRegisters } from '../runtime/goroutine.js';
import type { CodeIndex, CodePoint } from './code-index.js';
import { stepFromOutside } from './outside-go.js';
import { interruptedRegisters } from './signal-frame.js';
import { mayHaveCalled } from './race-call.js';
import { callsRecovery, fakesCall, leavesStack, writesSp } from './special-functions.js';
import type { StackMemory } from './stack-memory.js';
import { positionOf, type PhysicalFrame, type Position, type RuleCode, type Step } from './step.js';
import { isOnStack, isOnSystemStack, type UnwindStart } from './unwind-start.js';

/**
 * Up to Go 1.16, systemstack pushes a return address into mstart at g0.sched.sp before it calls its function
 * (asm_amd64.s).
 */
const MSTART_PUSHED = 8;

/** Bytes that a faked call takes from the stack on arm64, where it keeps LR (sigctxt.pushCall in signal_arm64.go). */
const FAKED_CALL_BYTES = 16;

/** What the rules ask about a step. */
interface Here {
  readonly start: UnwindStart;
  readonly at: Position;
  readonly point: CodePoint;
  /** True until the walk has found a frame. */
  readonly isInnermost: boolean;
  /** True on a stack that a goroutine switched to. */
  readonly onSystemStack: boolean;
}

/**
 * The rules by which a walk goes from one function to its caller: those of runtime/traceback.go (unwinder in Go 1.21 and
 * newer, gentraceback before), for Go 1.12 to 1.27 on both CPUs. Where the runtime would throw, a stack ends with a
 * reason.
 */
export class UnwindRules {
  readonly #memory: StackMemory;
  readonly #arch: Arch;
  readonly #code: CodeIndex;
  /** Bytes of the return address that a call pushes; 0 where it goes into the link register. */
  readonly #pushed: number;
  /** The same rules, for stacks that are only tried. */
  #trial: UnwindRules | null = null;

  constructor(memory: StackMemory, arch: Arch, code: CodeIndex) {
    this.#memory = memory;
    this.#arch = arch;
    this.#code = code;
    this.#pushed = arch === 'amd64' ? 8 : 0;
  }

  /** A nil function was called (unwinder.initAt): the walk begins in its caller. Throws MemoryFault. */
  afterNilCall({ sp, trap }: Position): Position {
    return { pc: this.#memory.pointer(sp, 'return address'), sp: sp + this.#pushed, lr: 0, trap, r12: null };
  }

  /**
   * Takes the step from the function at `at` to its caller. `innermost` is the first frame of the walk, if it has one
   * yet. A step ends where memory of the stack is absent. Throws MemoryFault where the function tables are.
   */
  step(start: UnwindStart, at: Position, innermost: PhysicalFrame | undefined): Step {
    const point = this.#code.at(at.pc);
    const onSystemStack = isOnSystemStack(start.user, at.sp);
    if (point === null || (at.trap && onSystemStack && isLikeC(point))) return this.#stepFromOutside(start, at);
    const here: Here = { start, at, point, isInnermost: innermost === undefined, onSystemStack };
    return this.#stepWithoutFrame(here) ?? this.#stepWithFrame(here, innermost);
  }

  #stepFromOutside(start: UnwindStart, at: Position): Step {
    try {
      return stepFromOutside(this.#memory, this.#arch, this.#code, start, at, (from) => {
        this.#trial ??= new UnwindRules(this.#memory.unwatched(), this.#arch, this.#code);
        return this.#trial.leadsToGoexit(start, from);
      });
    } catch (error) {
      return endByFault('outside-go', null, error);
    }
  }

  /** True where a stack leads from `at`, on the goroutine's stack, to the end of that. Throws as {@link step}. */
  leadsToGoexit(start: UnwindStart, at: Position): boolean {
    let innermost: PhysicalFrame | undefined;
    for (let here = at; ;) {
      const { rule, frame, next } = this.step(start, here, innermost);
      innermost ??= frame ?? undefined;
      if (next === null) return rule === 'top-frame';
      if (next.sp <= here.sp || !isOnStack(start.user, next.sp)) return false;
      if (frame !== null && !next.trap && !mayHaveCalled(this.#memory, this.#code, next.pc, frame.point)) return false;
      here = next;
    }
  }

  /** Functions that never return: the goroutine goes on at g.sched. A traceback does not show them. */
  #stepWithoutFrame({ start, at, point, onSystemStack }: Here): Step | null {
    const { special } = point;
    const { sched } = start.user;
    // mcall and morestack save the goroutine's registers in g.sched and go on with another function on g0. mstart begins
    // what a thread does before it has run any. gogo resumes the goroutine.
    if (onSystemStack && (special === 'mcall' || special === 'morestack' || special === 'mstart')) {
      return this.#resume(special, sched, sched.sp);
    }
    // It has loaded SP from g.sched, and is about to jump to the pc there.
    if (!onSystemStack && special === 'gogo' && at.trap && sched.pc !== 0) {
      return this.#resume('gogo', sched, at.sp);
    }
    return null;
  }

  #resume(rule: RuleCode, sched: StartRegisters, sp: number): Step {
    this.#memory.known(sched.pc, 'g.sched.pc');
    this.#memory.known(sched.sp, 'g.sched.sp');
    return { rule, frame: null, next: { pc: sched.pc, sp, lr: sched.lr, trap: false, r12: null }, truncated: null };
  }

  #stepWithFrame(here: Here, innermost: PhysicalFrame | undefined): Step {
    const { at, point } = here;
    const { special, spDelta } = point;
    // "No frame information, must be external function, like race support" (traceback.go).
    if (spDelta === null) {
      const rule = here.isInnermost ? 'unknown-frame-size' : 'no-frame-size';
      return end(rule, null, `no frame information for ${point.func.name}`);
    }
    const switched = special === null ? null : this.#stackSwitch(here, spDelta);
    const sp = switched === null ? at.sp : switched.sp;
    const frame = { point, pc: at.pc, sp, fp: sp + spDelta + this.#pushed, trap: at.trap };
    if (special === 'sigtramp') return this.#toInterrupted('signal-frame', frame, frame.fp, innermost ?? frame);
    if (special === 'sigreturn') return this.#toInterrupted('sigreturn', frame, sp, innermost ?? frame);
    if (isOutermost(here)) return this.#endAtOutermost(here, frame);
    if (special === 'recovery' && here.onSystemStack) {
      const halfRecovered = this.#halfRecovered(here.start.user.sched, frame);
      if (halfRecovered !== null) return halfRecovered;
    }
    if (!tableHolds(here)) return end('stack-switch', frame, `${point.func.name} switches stacks`);
    return this.#toCaller(frame, switched?.rule ?? null, at.lr, here.isInnermost || at.trap);
  }

  /**
   * The end of the stack, if g.sched has SP of the function that goes on after a panic, and still pc of the one that panics: what
   * seems to be its return address is then none. recovery stores SP first (panic.go). Else null.
   */
  #halfRecovered({ pc, sp }: StartRegisters, frame: PhysicalFrame): Step | null {
    const panics = this.#code.at(pc);
    if (this.#arch !== 'amd64' || panics === null || panics.spDelta === null || !callsRecovery(panics.func.name))
      return null;
    try {
      const caller = this.#memory.pointer(sp + panics.spDelta, 'return address, were SP still that of the panic');
      const called = this.#memory.callBefore(caller);
      if (called !== null && this.#code.at(called)?.func.entry === panics.func.entry) return null;
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
    }
    return end('half-recovered', frame, 'it is about to go on elsewhere, after a panic');
  }

  /** A goroutine's stack is whole where goexit's frame lies at g.stktopsp (unwinder.finishInternal). */
  #endAtOutermost({ start: { user } }: Here, frame: PhysicalFrame): Step {
    const { func, special } = frame.point;
    if (user.sched.pc === 0) return end('top-frame', frame, null);
    const topSp = this.#memory.known(user.topSp, 'g.stktopsp');
    if (special === 'goexit' && frame.sp === topSp) return end('top-frame', frame, null);
    return end('not-outermost', frame, `${func.name} at ${hex(frame.sp)} is not the outermost frame`);
  }

  /** For functions that return on the goroutine's stack from another one: SP on the goroutine's stack. */
  #stackSwitch({ start, at, point, isInnermost, onSystemStack }: Here, spDelta: number): Switch | null {
    if (!onSystemStack) return null;
    const { user, machine } = start;
    if (point.special === 'systemstack') {
      // "We're at the function prologue and the stack switch hasn't happened, or epilogue" (unwinder.resolveInternal).
      if (this.#arch === 'arm64' && spDelta === 0) return null;
      // Called on g0, where it was already, it does not switch: then SP is below where g0's stack begins for it.
      const bottom = isInnermost && machine !== null ? this.#memory.known(machine.systemSp, 'g0.sched.sp') : 0;
      if (at.sp < bottom - MSTART_PUSHED) return null;
      return { rule: 'system-stack-switch', sp: this.#memory.known(user.sched.sp, 'g.sched.sp') };
    }
    // It has kept SP in R12, before it went to the stack of g0 and after it came back from C (race_amd64.s).
    if (point.special === 'racecall' && at.trap && at.r12 !== null && isOnStack(user, at.r12)) {
      return { rule: 'race-call', sp: this.#memory.known(at.r12, 'r12') };
    }
    // It goes to the stack of g0 to call the vDSO, and leaves its caller's SP in m.vdsoSP (sys_linux_*.s).
    if (point.special === 'vdsoClock' && at.trap && machine !== null && machine.vdso.sp !== 0) {
      return { rule: 'vdso-clock', sp: this.#memory.known(machine.vdso.sp, 'm.vdsoSP') - this.#pushed - spDelta };
    }
    return null;
  }

  /** The step from a signal handler to the code that it interrupted, by the signal frame at `signalFrame`. */
  #toInterrupted(rule: RuleCode, frame: PhysicalFrame, signalFrame: number, handler: PhysicalFrame): Step {
    try {
      const next = positionOf(interruptedRegisters(this.#memory, this.#arch, signalFrame), true);
      const mayBeHalfFaked =
        handler.trap &&
        handler.point.lines(true).some(({ name }) => fakesCall(name)) &&
        this.#code.at(next.pc)?.special !== 'fakedCall';
      return (mayBeHalfFaked ? this.#afterHalfFakedCall(frame, next) : null) ?? goOn(rule, frame, next);
    } catch (error) {
      return endByFault(rule, frame, error);
    }
  }

  /**
   * If a signal handler is half-way through faking a call, restores the interrupted registers; null where it has not
   * begun. pushCall (signal_amd64.go) stores the return address and SP first, pc last. On arm64 (signal_arm64.go) it
   * stores LR too, so that one cannot tell how far it came.
   */
  #afterHalfFakedCall(frame: PhysicalFrame, next: Position): Step | null {
    const halfFaked = end('half-faked-call', frame, 'its signal handler is about to make it call something');
    if (this.#arch === 'arm64') return halfFaked;
    const pushed = this.#memory.word(next.sp, 'return address, were the call faked');
    if (pushed === next.pc)
      return goOn('undone-call', frame, {
        pc: next.pc,
        sp: next.sp + this.#pushed,
        lr: next.lr,
        trap: true,
        r12: next.r12,
      });
    return this.#code.at(pushed)?.func.entry === this.#code.at(next.pc)?.func.entry ? halfFaked : null;
  }

  /**
   * The step to the caller of an ordinary frame. `live`: the registers are those of this very frame, `lr` among them.
   * `rule`: how SP of the frame was found, where that was not by an ordinary call.
   */
  #toCaller(frame: PhysicalFrame, rule: RuleCode | null, lr: number, live: boolean): Step {
    const { sp, fp } = frame;
    const { special } = frame.point;
    const inRegister = this.#arch === 'arm64' && lr !== 0 && !(live && sp < fp);
    const how = rule ?? ruleByFunction(special) ?? (inRegister ? 'link-register' : 'return-address');
    try {
      const pc = inRegister
        ? this.#memory.known(lr, 'lr')
        : this.#memory.pointer(this.#arch === 'amd64' ? fp - 8 : sp, 'return address');
      if (pc === 0) return end('no-caller', frame, `the return address of ${frame.point.func.name} is 0`);
      if (special !== 'fakedCall') return goOn(how, frame, { pc, sp: fp, lr: 0, trap: false, r12: null });
      return goOn(
        how,
        frame,
        this.#arch === 'arm64' ? this.#afterFakedCall(pc, fp) : { pc, sp: fp, lr: 0, trap: true, r12: null },
      );
    } catch (error) {
      return endByFault(how, frame, error);
    }
  }

  /** The interrupted code on arm64, where the handler stores its LR on the stack before it fakes a call (pushCall). */
  #afterFakedCall(pc: number, sp: number): Position {
    const savedLr = this.#memory.pointer(sp, 'lr of the interrupted code');
    const interrupted = this.#code.at(pc);
    return {
      pc: interrupted === null ? savedLr : pc,
      sp: sp + FAKED_CALL_BYTES,
      lr: interrupted?.spDelta === 0 ? savedLr : 0,
      trap: true,
      r12: null,
    };
  }
}

/** SP of a frame on the goroutine's stack, and the rule by which it was found. */
interface Switch {
  readonly rule: RuleCode;
  readonly sp: number;
}

/** Return addresses that no call has pushed. */
function ruleByFunction(special: CodePoint['special']): RuleCode | null {
  if (special === 'fakedCall') return 'faked-call';
  // It pushes g.sched.pc, where C was called, onto the goroutine's stack (asm_*.s): "the traceback will seamlessly trace
  // back into the earlier calls".
  return special === 'cgocallback' ? 'cgo-callback' : null;
}

/** TOPFRAME since Go 1.17; by name before (topofstack). mcall and morestack begin what a thread does without a goroutine. */
function isOutermost({ start, point: { special, func } }: Here): boolean {
  if ((func.flag & FuncFlag.topFrame) !== 0 || special === 'goexit' || special === 'mstart' || special === 'rt0_go')
    return true;
  return start.user.sched.pc === 0 && (special === 'mcall' || special === 'morestack');
}

/**
 * True for functions that are followed as C code is. Go's own linker lists C code among the functions, without tables. What C
 * code of the race detector calls on the system stack keeps R12 as C functions do (racecallbackthunk in race_amd64.s). What
 * aligns SP for a call of C is the last of Go before that, and systemstack has kept the goroutine's registers
 * (callCgoMmap in sys_linux_*.s).
 */
function isLikeC({ spDelta, special }: CodePoint): boolean {
  return spDelta === null || special === 'raceCallback' || special === 'alignsStack';
}

/** True where the table of frame sizes says where the return address is: the function has not written SP at this pc. */
function tableHolds({ start, at, point: { special, func }, isInnermost, onSystemStack }: Here): boolean {
  if ((func.flag & FuncFlag.spWrite) === 0 && !writesSp(special)) return true;
  // "BOTH stacks have cgocallback frame valid for unwinding through" (unwinder.resolveInternal).
  if (special === 'cgocallback') return true;
  // "Some Syscall functions write to SP, but they do so only after saving the entry PC/SP using entersyscall."
  if (start.syscall && isInnermost) return true;
  if (!onSystemStack) return start.user.sched.pc !== 0 && leavesStack(special);
  if (special === 'vdsoClock') return at.trap && start.machine !== null;
  if (special === 'racecall') return at.trap && at.r12 !== null && isOnStack(start.user, at.r12);
  return special === 'systemstack' || special === 'gogo';
}

function goOn(rule: RuleCode, frame: PhysicalFrame, next: Position): Step {
  return { rule, frame, next, truncated: null };
}

function end(rule: RuleCode, frame: PhysicalFrame | null, truncated: string | null): Step {
  return { rule, frame, next: null, truncated };
}

/** The stack ends at memory that the image does not have. Throws `error` again where it is another one. */
function endByFault(rule: RuleCode, frame: PhysicalFrame | null, error: unknown): Step {
  if (!(error instanceof MemoryFault)) throw error;
  return end(rule, frame, error.message);
}
