import type { GoProgram } from '../../analyze/program.js';
import type { M } from '../../analyze/runtime/machine.js';
import type { Addr } from '../../snapshots/address.js';
import { Stepper, type SteppedMemory } from './stepper.js';

/** A turn of sysmon takes some thousand instructions. */
const MOST_STEPS = 50_000;
/** What sysmon calls to sleep. It holds no lock then (sysmon in proc.go). */
const SLEEPS = /^runtime\.(usleep|notetsleep)$/;
/** Where a thread is that sleeps in either of them. */
const SLEEPING = /^runtime\.(usleep|futex)$/;

/**
 * Stops the thread that runs sysmon, at a moment when it sleeps: anywhere else it may hold a lock, for which the other
 * threads would wait for ever. They have to run, since sysmon may have to wait for them until it comes to sleep.
 */
export function holdSysmon(program: GoProgram, source: SteppedMemory): Stepper {
  const m = sysmonOf(program);
  if (m === null) throw new Error('there is no sysmon');
  const stepper = new Stepper(m.procid);
  for (let i = 0; i < MOST_STEPS; i++) {
    source.refresh();
    if (isAsleep(program, m, stepper)) return stepper;
    stepper.step();
  }
  stepper.close();
  throw new Error('sysmon does not come to sleep');
}

/** The M that runs sysmon; null until its thread has started. */
export function sysmonOf(program: GoProgram): M | null {
  const { machines, memory, layouts } = program;
  const startsAt = (m: Addr): number => {
    const func = memory.ptr(m, layouts.of('m').offset('mstartfn'));
    return func === 0 ? 0 : memory.ptr(func);
  };
  const sysmon = machines.find(({ addr }) => nameAt(program, startsAt(addr)) === 'runtime.sysmon');
  return sysmon === undefined || sysmon.procid === 0 ? null : sysmon;
}

function isAsleep(program: GoProgram, m: M, { registers }: Stepper): boolean {
  // Unwinding takes so long that the vDSO, which starts over when the clock ticks, would never come to an end.
  if (!SLEEPING.test(nameAt(program, Number(registers.pc)) ?? '')) return false;
  const threads = program.image.threads.map((thread) =>
    thread.namespaceTid === m.procid ? { ...thread, registers } : thread,
  );
  const frames = program.over({ threads }).threadStackOf(m)?.frames ?? [];
  const names = frames.map(({ pc }) => nameAt(program, pc));
  return SLEEPS.test(names[names.indexOf('runtime.sysmon') - 1] ?? '');
}

function nameAt(program: GoProgram, pc: number): string | null {
  return program.index.at(pc)?.func.name ?? null;
}
