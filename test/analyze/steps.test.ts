import t from 'tap';
import { GoProgram, openProgram } from '../../analyze/program.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import type { Addr } from '../../snapshots/address.js';
import { Memory } from '../../snapshots/memory.js';
import { eventually } from '../support/eventually.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { STEPS_CELLS, cellName } from '../support/releases.js';
import { ShadowStack, type At } from '../support/shadow-stack.js';
import { Stepper, SteppedMemory } from '../support/stepper.js';
import { holdSysmon, sysmonOf } from '../support/sysmon.js';

/** One round takes some ten thousand instructions, most of them for the panics. */
const MOST_STEPS = 50_000;
/** Instructions to step through while sysmon preempts: a handler takes some 600, a preemption 1,000 to 5,000 more. */
const PREEMPTED_STEPS = 30_000;
/**
 * Instructions from one handler to the next. A handler that is stepped through takes longer than sysmon waits: the next
 * signal is due as it returns, and if the thread cannot be preempted where it is, it would never come further.
 */
const BETWEEN_HANDLERS = 200;
/**
 * Instructions outside of Go code at which the stack is compared. The vDSO starts over whenever the kernel's clock has
 * ticked: with a comparison at every step it would never come out.
 */
const MOST_OUTSIDE = 40;
/** Functions that switch stacks. They are not compared: whether a stack shows them depends on how far they came. */
const SWITCHES =
  /^runtime\.(mcall|morestack|morestack_noctxt|systemstack_switch|systemstack|asmcgocall|asmcgocall_landingpad|nanotime1?|walltime1?|gogo)$|^(gogo|time\.now|crosscall2)$/;
/** It is about to jump to the innermost frame of a goroutine, which the shadow stack does not have yet. */
const RESUMES = /^(runtime\.)?gogo$/;
/** They call C code on the system stack, whose frames lie between theirs and the thread: the stack begins below them. */
const CALLS_C = /^runtime\.callCgo/;
/** It stores the frame that it will resume in into g.sched, while the frames of the panic are still on the stack. */
const REWRITES = 'runtime.recovery';
/** Functions that a signal handler makes the interrupted code call. */
const INJECTED = /^runtime\.(sigpanic0?|asyncPreempt)$/;
/** Bytes by which jmpdefer, up to Go 1.16, moves a return address back, to call deferreturn again (asm_amd64.s). */
const CALL_BYTES = 5;
/** Functions that a round must have led through, or the test has not seen what it is about. */
const SEEN = ['runtime.memmove', 'runtime.systemstack', 'runtime.mcall', 'runtime.sigpanic', 'runtime.sigtramp'];
/** Led through by programs with C code: the runtime calls C on the system stack. */
const SEEN_WITH_C = ['runtime.callCgoSigaction'];
/** One of them is led through when sysmon takes the P away; the first by a signal (Go 1.14+). */
const PREEMPTED = ['runtime.asyncPreempt', 'runtime.gopreempt_m'];

for (const cell of STEPS_CELLS) {
  t.test(`unwind: the callers are right at every instruction (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell), { ready: /^ready \d+\n/m });
    const tid = Number(/ready (\d+)/.exec(program.stdout)?.[1]);
    await eventually(() => hasSysmon(program.pid) || null, 'the start of sysmon');
    const outcome = stepThrough(program.pid, tid, false);
    t.same(outcome.wrong, []);
    const inRecovery = Object.keys(outcome.ended).filter((reason) => reason.startsWith(REWRITES));
    t.same(inRecovery, [`${REWRITES}: it is about to go on elsewhere, after a panic`]);
    t.ok(endedEarly(outcome) < 20, `${outcome.steps} steps; stacks that end early: ${JSON.stringify(outcome.ended)}`);
    t.same(
      [...SEEN, ...(cell.link === 'cgo' ? SEEN_WITH_C : [])].filter((name) => !outcome.seen.has(name)),
      [],
      'the round led through all of them',
    );
    const preempted = stepThrough(program.pid, tid, true);
    t.same(preempted.wrong, []);
    t.ok(
      PREEMPTED.some((name) => preempted.seen.has(name)),
      'it was preempted',
    );
    t.ok(endedEarly(preempted) < 50, `stacks that end early: ${JSON.stringify(preempted.ended)}`);
  });
}

interface Outcome {
  steps: number;
  /** How many of them were in the kernel's vDSO or in C code. */
  outside: number;
  /** How many stacks were whole. */
  whole: number;
  /** How many stacks ended early, by reason. */
  ended: Record<string, number>;
  wrong: string[];
  readonly seen: Set<string>;
}

/** How many stacks ended early: in C code on the signal stack, and while a handler rewrites its signal frame. */
function endedEarly({ ended }: Outcome): number {
  return Object.values(ended).reduce((sum, n) => sum + n, 0);
}

/** Whether sysmon runs: on a busy machine its thread may start after the program has said that it is ready. */
function hasSysmon(pid: number): boolean {
  const target = new LiveProcess(pid, 'read');
  try {
    return sysmonOf(openProgram(target.image())) !== null;
  } finally {
    target.close();
  }
}

/**
 * Steps the thread through a round. With `preempted`, sysmon runs on: to it the goroutine seems to spin, so that it takes
 * the P away after nearly every step.
 */
function stepThrough(pid: number, tid: number, preempted: boolean): Outcome {
  const target = new LiveProcess(pid, 'read');
  const source = new SteppedMemory(pid, target.mappings);
  const program = openProgram({ ...target.image(), memory: new Memory(source) });
  const held: Stepper[] = [];
  try {
    const sysmon = holdSysmon(program, source);
    held.push(sysmon);
    const stepper = new Stepper(tid);
    held.push(stepper);
    const steps = new Steps(program, source, stepper, tid);
    const shadow = steps.untilRound();
    if (!preempted) return steps.run(shadow, MOST_STEPS);
    sysmon.close();
    held.shift();
    return steps.run(shadow, PREEMPTED_STEPS);
  } finally {
    for (const stepper of held) stepper.close();
    source.close();
    target.close();
  }
}

class Steps {
  readonly #memory: Memory;
  readonly #source: SteppedMemory;
  readonly #stepper: Stepper;
  readonly #tid: number;
  readonly #first: GoProgram;
  readonly #g: Addr;
  readonly #image;
  readonly #outcome: Outcome = { steps: 0, outside: 0, whole: 0, ended: {}, wrong: [], seen: new Set() };

  constructor(program: GoProgram, source: SteppedMemory, stepper: Stepper, tid: number) {
    this.#source = source;
    this.#stepper = stepper;
    this.#tid = tid;
    this.#memory = program.memory;
    this.#image = program.image;
    this.#first = program;
    const g = this.#first.machines.find(({ procid }) => procid === tid)?.lockedg;
    if (g === undefined || g === 0) throw new Error('no goroutine is locked to the thread');
    this.#g = g;
  }

  /** Steps through one round, or through its first `most` instructions, and compares the stack at each. */
  run(shadow: ShadowStack, most: number): Outcome {
    let at = this.#at();
    const outcome = this.#outcome;
    const end = { sp: at.sp + 8 };
    while (at.sp !== end.sp || this.#nameAt(at.pc) !== 'main.stepped') {
      if (++outcome.steps >= most) {
        if (most === MOST_STEPS)
          throw new Error(`the round does not end, in ${this.#nameAt(at.pc)}: ${JSON.stringify(outcome)}`);
        return outcome;
      }
      if (!this.#outside(at.pc) || outcome.outside++ < MOST_OUTSIDE) this.#check(shadow, at);
      const before = at;
      const back = this.#isSignalReturn(shadow, before);
      const leaves = !back && this.#outside(before.pc) && outcome.outside > MOST_OUTSIDE;
      const call = !leaves && this.#isKnown(before.pc) && shadow.isCall(before.pc);
      const signal = leaves ? this.#leave(shadow) : this.#stepper.step();
      if (signal !== 0) {
        this.#stepper.step();
        this.#source.refresh();
        at = this.#at();
        shadow.interrupted(before, at);
        continue;
      }
      this.#source.refresh();
      at = this.#at();
      if (back) {
        shadow.returnedFromSignal(at);
        this.#stepper.keepPreemptionBack(BETWEEN_HANDLERS);
      } else if (call) shadow.called(at);
      else shadow.moved(at);
    }
    return outcome;
  }

  #outside(pc: number): boolean {
    return this.#nameAt(pc) === null;
  }

  #isSignalReturn(shadow: ShadowStack, { pc }: At): boolean {
    return shadow.isSignalReturn(pc, this.#stepper.registers.get('rax'));
  }

  /** Steps until the thread is back in Go code, about to return from a handler, or interrupted. Returns the signal or 0. */
  #leave(shadow: ShadowStack): number {
    for (let i = 0; i < MOST_STEPS; i++) {
      const signal = this.#stepper.step();
      const at = this.#at();
      if (signal !== 0 || !this.#outside(at.pc) || this.#isSignalReturn(shadow, at)) return signal;
    }
    throw new Error('the thread does not come back to Go code');
  }

  /** Steps to the first instruction of the next round, and begins a shadow stack there. */
  untilRound(): ShadowStack {
    for (let i = 0; i < MOST_STEPS; i++) {
      const { pc, sp } = this.#at();
      const func = this.#first.index.at(pc)?.func;
      if (func?.name === 'main.round' && func.entry === pc) {
        this.#source.refresh();
        const { stack } = this.#first.goroutineReader.read(this.#g);
        const caller = this.#memory.ptr(sp as Addr);
        const outermost = this.#first.index.at(caller);
        if (outermost?.func.name !== 'main.stepped' || outermost.spDelta === null) throw new Error('not in the loop');
        const slot = sp + 8 + outermost.spDelta;
        const callers = [
          { pc: caller, slot: sp },
          { pc: this.#memory.ptr(slot as Addr), slot },
        ];
        const gsignal = this.#first.machines.find(({ procid }) => procid === this.#tid)?.gsignal ?? (0 as Addr);
        const signal = gsignal === 0 ? { lo: 0, hi: 0 } : this.#first.goroutineReader.read(gsignal).stack;
        return new ShadowStack(this.#memory, stack, signal, callers);
      }
      this.#stepper.step();
    }
    throw new Error('the thread does not come to the next round');
  }

  #check(shadow: ShadowStack, at: At): void {
    const registers = this.#stepper.registers;
    const threads = this.#image.threads.map((thread) =>
      thread.namespaceTid === this.#tid ? { ...thread, registers } : thread,
    );
    const image = { ...this.#image, threads };
    const program = new GoProgram(image, this.#first.found);
    const g = program.goroutineReader.read(this.#g);
    const { frames, truncated } = program.stackOf(g);
    this.#outcome.seen.add(this.#nameAt(at.pc) ?? '?');
    const running = g.status === 'running' && g.m !== 0;
    const isCompared = (pc: number): boolean =>
      this.#isCompared(pc) && !(shadow.inSignal && INJECTED.test(this.#nameAt(pc) ?? ''));
    const got = frames.map(({ pc }) => pc).filter(isCompared);
    const pcs = [at.pc, ...shadow.callers];
    const all = pcs.filter(isCompared);
    const resumes = pcs.findIndex((pc) => RESUMES.test(this.#nameAt(pc) ?? ''));
    if (resumes >= 0 && got.length === all.length + 1) got.splice(pcs.slice(0, resumes).filter(isCompared).length, 1);
    const inC = CALLS_C.test(this.#nameAt(pcs.find((pc) => !this.#outside(pc)) ?? 0) ?? '');
    const wanted = running && !inC ? all : all.slice(all.length - got.length);
    // In a system call, its pc is where it called entersyscall.
    if (g.status === 'syscall' && this.#nameAt(got[0] ?? 0) === this.#nameAt(wanted[0] ?? 0)) got[0] = wanted[0] ?? 0;
    const agrees =
      got.every((pc, i) => pc === wanted[i] || pc === (wanted[i] ?? 0) - CALL_BYTES) &&
      (truncated !== null || got.length === wanted.length);
    if (truncated === null) this.#outcome.whole++;
    else {
      const reason = `${this.#nameAt(at.pc) ?? '?'}: ${truncated.replace(/0x[0-9a-f]+/, '0x?')}`;
      this.#outcome.ended[reason] = (this.#outcome.ended[reason] ?? 0) + 1;
    }
    if (agrees || this.#outcome.wrong.length > 20 || this.#isRecovering(got, wanted)) return;
    const names = (pcs: readonly number[]): string =>
      pcs.map((pc) => `${this.#nameAt(pc) ?? '?'}@${pc.toString(16)}`).join(' < ');
    this.#outcome.wrong.push(
      `step ${this.#outcome.steps} at ${this.#nameAt(at.pc) ?? '?'} (${g.status}, ${truncated ?? 'whole'}): ${names(got)} instead of ${names(wanted)}`,
    );
  }

  /** True in recovery, which may have chosen another function to go on in, if all callers of that one are right. */
  #isRecovering(got: readonly number[], wanted: readonly number[]): boolean {
    const at = got.findIndex((pc) => this.#nameAt(pc) === REWRITES);
    const callers = got.slice(at + 2);
    const right = wanted.slice(wanted.length - callers.length);
    return at >= 0 && callers.every((pc, i) => pc === right[i]);
  }

  /** True for Go code that does not switch stacks. */
  #isCompared(pc: number): boolean {
    const name = this.#nameAt(pc);
    return name !== null && !SWITCHES.test(name);
  }

  #nameAt(pc: number): string | null {
    return this.#first.index.at(pc)?.func.name ?? null;
  }

  #isKnown(pc: number): boolean {
    return this.#memory.has(pc as Addr, 3);
  }

  #at(): At {
    const registers = this.#stepper.registers;
    return { pc: Number(registers.pc), sp: Number(registers.sp) };
  }
}
