import { NIL } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { P, ProcessorStatus } from '../runtime/processor.js';
import { readGcPhase, readSched, type Sched } from '../runtime/sched.js';
import type { Processor, Scheduler } from './model.js';

/** Stands for a scheduler that cannot be read. */
export const NO_SCHED: Sched = { runqsize: 0, nmidle: 0, npidle: 0, nmspinning: 0, gcwaiting: false };

/** The scheduler of a program. Counts that cannot be read are 0, and Ps that cannot be read are missing: with a warning. */
export function readScheduler(program: GoProgram): Scheduler {
  const { memory, layouts, globals } = program;
  const ps = readPs(program);
  const sched = onFault(
    () => readSched(memory, layouts, globals),
    ({ message }) => {
      program.warn({ code: 'sched-damaged', message });
      return NO_SCHED;
    },
  );
  return { ps, sched: { ...sched, gcPhase: readGcPhase(memory, globals) } };
}

function readPs(program: GoProgram): Processor[] {
  const machines = new Map(program.machines.map((m) => [m.addr, m]));
  const { monotonicNs } = program.image.capture;
  const now = monotonicNs === null ? null : Number(monotonicNs);
  return program.processors.map((p) => ({
    id: p.id,
    runtime: program.runtime.n,
    status: statusOf(program, p),
    schedtick: p.schedtick,
    syscalltick: p.syscalltick,
    m: machines.get(p.m)?.id ?? null,
    runqsize: p.runqsize,
    sinceScheduledNs: now === null || p.sameSince === null ? null : Math.max(0, now - p.sameSince),
  }));
}

/** Where the release leaves a P running whose goroutine is in a system call, the status of its M's goroutine decides. */
function statusOf(program: GoProgram, p: P): ProcessorStatus {
  if (p.status !== 'running' || program.layouts.release.statusInSyscall !== 'running') return p.status;
  const curg = program.machineAt(p.m)?.curg ?? NIL;
  if (curg === NIL) return p.status;
  return onFault(
    () => (program.goroutineReader.read(curg).status === 'syscall' ? 'syscall' : p.status),
    () => p.status,
  );
}
