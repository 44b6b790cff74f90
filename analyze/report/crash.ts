import { hex, type Addr } from '../../snapshots/address.js';
import { MemoryFault } from '../../snapshots/memory.js';
import { signalName } from '../../snapshots/signals.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import type { Crash } from './model.js';

/**
 * How a program ended, of a core; null where it was alive. The M that the runtime has dying was first, whatever thread
 * ended the process: up to Go 1.22 the fault is passed on from M to M (sighandler of signal_unix.go).
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
  const fault = g === null ? null : turnedIntoPanic(program, g);
  return fault === null ? ended : { ...ended, ...fault };
}

/** m.dying is set by startpanic_m (panic.go), for panics, throws and fatal signals alike. */
function dyingMachine(program: GoProgram): M | null {
  const offset = program.layouts.of('m').offset('dying');
  return program.machines.find((m) => quietly(() => program.memory.i32(m.addr, offset)) === 1) ?? null;
}

function machineOf(program: GoProgram, tid: number): M | null {
  return program.machines.find((m) => program.threadOf(m)?.tid === tid) ?? null;
}

/** The goroutine that it ran, also where a signal handler has since taken over; null on the system stack. */
function faultingGoroutine(program: GoProgram, machine: M): Addr | null {
  const caught = quietly(() => program.memory.ptr(machine.addr, program.layouts.of('m').offset('caughtsig')));
  const g = caught !== null && caught !== 0 && caught !== machine.g0 ? caught : machine.curg;
  return g === 0 ? null : g;
}

function goidOf(program: GoProgram, g: Addr): number | null {
  const goid = program.goroutineReader.goidAt(g);
  return goid === 0 ? null : goid;
}

/** The signal that preparePanic (signal_amd64.go, signal_arm64.go) noted in g.sig, as the panic's own text has it. */
function turnedIntoPanic(program: GoProgram, g: Addr): Pick<Crash, 'signal' | 'code' | 'addr'> | null {
  const layout = program.layouts.of('g');
  return quietly(() => {
    const number = program.memory.u32(g, layout.offset('sig'));
    if (number === 0) return null;
    const code = program.memory.word(g, layout.offset('sigcode0'));
    const addr = hex(program.memory.u64(g, layout.offset('sigcode1')));
    return { signal: signalName(number), code, addr };
  });
}

function quietly<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return null;
  }
}
