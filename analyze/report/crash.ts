import { hex, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { signalName } from '../../snapshots/signals.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import type { Crash } from './model.js';

/**
 * How the program in a core ended; null where it was alive. If an M is dying, it crashed first, whichever thread ended
 * the process: up to Go 1.22 each M passes the fatal signal on to the next (sighandler in signal_unix.go).
 */
export function crashOf(program: GoProgram): Crash | null {
  const { signal } = program.image;
  if (signal === null) return null;
  const machine = dyingMachine(program) ?? machineOf(program, signal.tid);
  const g = machine === null ? null : faultingGoroutine(program, machine);
  const endedBy = signalName(signal.number);
  const ended = {
    signal: endedBy,
    code: signal.code,
    addr: signal.addr === null ? null : hex(signal.addr),
    endedBy,
    goid: g === null ? null : goidOf(program, g),
    tid: (machine === null ? null : program.threadOf(machine)?.tid) ?? signal.tid,
  };
  const fault = g === null ? null : faultBeforePanic(program, g);
  return fault === null ? ended : { ...ended, ...fault };
}

/** The M whose m.dying is set: by startpanic_m (panic.go, 1.12+), for panics, throws and fatal signals alike. */
function dyingMachine(program: GoProgram): M | null {
  const offset = program.layouts.of('m').offset('dying');
  return program.machines.find((m) => orNull(() => program.memory.i32(m.addr, offset)) === 1) ?? null;
}

function machineOf(program: GoProgram, tid: number): M | null {
  return program.machines.find((m) => program.threadOf(m)?.tid === tid) ?? null;
}

/** The goroutine that the M ran when it crashed, even if a signal handler runs now; null on the system stack. */
function faultingGoroutine(program: GoProgram, machine: M): Addr | null {
  const caught = orNull(() => program.memory.ptr(machine.addr, program.layouts.of('m').offset('caughtsig')));
  const g = caught !== null && caught !== 0 && caught !== machine.g0 ? caught : machine.curg;
  return g === 0 ? null : g;
}

function goidOf(program: GoProgram, g: Addr): number | null {
  const goid = program.goroutineReader.goidAt(g);
  return goid === 0 ? null : goid;
}

/**
 * The signal that the runtime turned into a panic: g.sig, g.sigcode0 and g.sigcode1, which preparePanic sets
 * (signal_amd64.go and signal_arm64.go, 1.12+). null where there was none.
 */
function faultBeforePanic(program: GoProgram, g: Addr): Pick<Crash, 'signal' | 'code' | 'addr'> | null {
  const layout = program.layouts.of('g');
  return orNull(() => {
    const number = program.memory.u32(g, layout.offset('sig'));
    if (number === 0) return null;
    const code = program.memory.word(g, layout.offset('sigcode0'));
    const addr = hex(program.memory.u64(g, layout.offset('sigcode1')));
    return { signal: signalName(number), code, addr };
  });
}

function orNull<T>(read: () => T): T | null {
  return onFault(read, () => null);
}
