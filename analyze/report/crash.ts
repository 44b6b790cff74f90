import { hex, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { hasAddress, hasSender, isFatal, signalName } from '../../snapshots/signals.js';
import type { GoProgram, Programs } from '../program.js';
import type { M } from '../runtime/machine.js';
import { caughtSignals, signalAt, type CaughtSignal } from '../stacks/signal-frame.js';
import type { Crash } from './model.js';

/** A signal, as far as it may be what a program crashed of. */
type Cause = Pick<Crash, 'signal' | 'code' | 'addr' | 'sender'>;

/**
 * How the program in a core ended; null where it was alive. If an M is dying, it crashed first, whichever thread ended
 * the process: each M passes the fatal signal on to the next as SIGQUIT (sighandler in signal_unix.go). What ended the
 * process is often the SIGABRT that the runtime raises once it has said why.
 */
export function crashOf(program: GoProgram): Crash | null {
  const { signal } = program.image;
  if (signal === null) return null;
  const machine = dyingMachine(program) ?? machineOf(program, signal.tid);
  const g = machine === null ? null : faultingGoroutine(program, machine);
  const endedBy = signalName(signal.number);
  const addr = signal.addr === null ? null : hex(signal.addr);
  const ended: Cause = { signal: endedBy, code: signal.code, addr, sender: null };
  const panicked = faultBeforePanic(program, [machine?.g0 ?? null, g]);
  const caught = machine === null ? null : caughtSignal(program, machine);
  // A panic for a fault ends in a SIGABRT too, which the runtime raises on its own thread.
  const cause = caught === null || caught.signal === 'SIGABRT' ? (panicked ?? caught) : caught;
  return {
    ...(cause ?? ended),
    endedBy,
    goid: g === null ? null : goidOf(program, g),
    runtime: machine === null ? null : program.runtime.n,
    tid: (machine === null ? null : program.threadOf(machine)?.tid) ?? signal.tid,
  };
}

/** The first fatal signal whose handler the thread of an M is in. null without one. */
function caughtSignal(program: GoProgram, machine: M): Cause | null {
  const signal = signalsOf(program, machine).find(({ number }) => isFatal(number));
  return signal === undefined ? null : causeOf(program, signal);
}

/** What a siginfo_t says; the program itself counts as no sender. */
function causeOf({ image }: GoProgram, { number, code, addr, pid }: CaughtSignal): Cause {
  const own = image.host.namespacePids.at(-1) ?? image.pid;
  return {
    ...{ signal: signalName(number), code, addr: hasAddress(number, code) ? hex(addr) : null },
    sender: hasSender(code) && pid !== 0 && pid !== own ? pid : null,
  };
}

/**
 * The signals whose handlers the thread of an M is in, the first one first: all those on its signal stack, or else those
 * to which its frames lead: a thread that C made may handle signals on its ordinary stack.
 */
function signalsOf(program: GoProgram, machine: M): CaughtSignal[] {
  const { memory, image } = program;
  const sp = program.threadOf(machine)?.registers?.sp;
  if (sp === undefined) return [];
  const onSignalStack = orNull(() => {
    const { stack } = program.goroutineReader.read(machine.gsignal);
    return [...caughtSignals(memory, image.arch, stack, Number(sp))];
  });
  if (onSignalStack !== null && onSignalStack.length > 0) return onSignalStack;
  const handlers = program.threadStackOf(machine)?.frames.filter(({ point }) => point.special === 'sigtramp') ?? [];
  return handlers.reverse().flatMap(({ fp }) => orNull(() => signalAt(memory, image.arch, fp)) ?? []);
}

/**
 * How a process with several Go runtimes ended. A thread may have an M of each of them: the one that crashed is dying, or
 * else the thread was in its code. Under GOTRACEBACK=crash it ends the process by a SIGABRT, which another one may catch,
 * and then dies of.
 */
export function crashOfAll(programs: Programs): Crash | null {
  const { signal, threads } = programs[0].image;
  if (signal === null) return null;
  const pc = threads.find(({ tid }) => tid === signal.tid)?.registers?.pc;
  const wasAt = ({ index }: GoProgram): boolean => pc !== undefined && orNull(() => index.at(Number(pc))) !== null;
  const dying = programs.filter((program) => dyingMachine(program) !== null);
  const culprit = dying.find((program) => !diesOfSignal(program)) ?? dying[0] ?? programs.find(wasAt);
  if (culprit !== undefined) return crashOf(culprit);
  const crashes = programs.map(crashOf);
  return crashes.find((crash) => crash !== null && crash.runtime !== null) ?? crashes[0] ?? null;
}

/** The M whose m.dying is set: by startpanic_m (panic.go, 1.12+), for panics, throws and fatal signals alike. */
function dyingMachine(program: GoProgram): M | null {
  const offset = program.layouts.of('m').offset('dying');
  return program.machines.find((m) => orNull(() => program.memory.i32(m.addr, offset)) === 1) ?? null;
}

/** Whether the dying M caught a signal, rather than that its goroutine panicked: m.caughtsig (sighandler, 1.12+). */
function diesOfSignal(program: GoProgram): boolean {
  const machine = dyingMachine(program);
  return machine !== null && (orNull(() => caughtsig(program, machine)) ?? 0) !== 0;
}

function caughtsig({ memory, layouts }: GoProgram, { addr }: M): Addr {
  return memory.ptr(addr, layouts.of('m').offset('caughtsig'));
}

function machineOf(program: GoProgram, tid: number): M | null {
  return program.machines.find((m) => program.threadOf(m)?.tid === tid) ?? null;
}

/** The goroutine that the M ran when it crashed, even if a signal handler runs now; null on the system stack. */
function faultingGoroutine(program: GoProgram, machine: M): Addr | null {
  // A signal may interrupt the handler of another one on the same thread, as SIGQUIT does that M passes on to itself.
  const system: readonly (Addr | null)[] = [null, 0 as Addr, machine.g0, machine.gsignal];
  const caught = orNull(() => caughtsig(program, machine));
  const g = caught === null || system.includes(caught) ? machine.curg : caught;
  return g === 0 ? null : g;
}

/** null for a goroutine that has run nothing: a thread that C made got it only to handle the signal (needm in proc.go). */
function goidOf(program: GoProgram, address: Addr): number | null {
  const goid = program.goroutineReader.goidAt(address);
  const g = orNull(() => program.goroutineReader.read(address));
  const innermost = g?.status === 'syscall' ? program.index.at(g.syscallpc) : null;
  return goid === 0 || innermost?.special === 'goexit' ? null : goid;
}

/**
 * The signal that the runtime turned into a panic of one of `gs`: g.sig, g.sigcode0 and g.sigcode1, which preparePanic sets
 * (signal_amd64.go and signal_arm64.go, 1.12+). That of g0 is for a fault in C code, up to Go 1.20, or in the runtime
 * itself. null where there was none.
 */
function faultBeforePanic(program: GoProgram, gs: readonly (Addr | null)[]): Cause | null {
  const layout = program.layouts.of('g');
  for (const g of gs) {
    const cause = orNull(() => {
      const number = g === null ? 0 : program.memory.u32(g, layout.offset('sig'));
      if (g === null || number === 0) return null;
      // A uintptr of the int32 si_code. Code that raises a signal has one below 1, and the word is no address then.
      const code = program.memory.i32(g, layout.offset('sigcode0'));
      const addr = program.memory.u64(g, layout.offset('sigcode1'));
      return causeOf(program, { number, code, addr, pid: 0 });
    });
    if (cause !== null) return cause;
  }
  return null;
}

function orNull<T>(read: () => T): T | null {
  return onFault(read, () => null);
}
