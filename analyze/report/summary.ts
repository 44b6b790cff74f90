import { NIL } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { P, ProcessorStatus } from '../runtime/processor.js';
import { readGcPhase, readSched } from '../runtime/sched.js';
import { crashOf } from './crash.js';
import { FindingsCollector } from './findings.js';
import type { Goroutine, Summary, Target } from './model.js';
import type { Warning } from '../warnings.js';
import type { GoroutineStatus } from '../runtime/goroutine.js';

const STATUSES: readonly Exclude<GoroutineStatus, 'dead'>[] = [
  ...(['idle', 'runnable', 'running', 'syscall', 'waiting'] as const),
  ...(['copystack', 'preempted', 'leaked'] as const),
];

/** Names what was looked at. */
export function targetOf(program: GoProgram): Target {
  const { image } = program;
  return {
    kind: image.kind,
    pid: image.pid,
    bin: image.executable.path,
    goVersion: program.version.text,
    arch: image.arch,
    gomaxprocs: program.gomaxprocs,
    capturedAt: image.capture.capturedAt,
    mode: image.capture.mode,
    pauseNs: image.capture.pauseNs,
    crash: crashOf(program),
  };
}

/** The overview of a program; `goroutines` are those that listGoroutines gave for it. */
export function summarize(program: GoProgram, goroutines: Iterable<Goroutine>): Summary {
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<(typeof STATUSES)[number], number>;
  let total = 0;
  let system = 0;
  const torn: number[] = [];
  const tally = new FindingsCollector();
  for (const goroutine of goroutines) {
    total++;
    if (goroutine.system) system++;
    tally.add(goroutine);
    if (goroutine.torn) torn.push(goroutine.goid);
    if (goroutine.status !== 'dead') counts[goroutine.status]++;
  }
  const ps = describeProcessors(program);
  const counted = onFault(
    () => readSched(program.memory, program.layouts, program.globals),
    ({ message }) => {
      program.warn({ code: 'sched-damaged', message });
      return NO_SCHED;
    },
  );
  const sched = { ...counted, gcPhase: readGcPhase(program.memory, program.globals) };
  return {
    target: targetOf(program),
    ps,
    threads: threadCounts(program),
    goroutines: { total, ...counts, system },
    sched,
    longestWaits: tally.longestWaits,
    findings: tally.findings(program, { ps, sched }),
    warnings: [...program.image.capture.warnings, ...program.warnings, ...tornWarnings(torn)],
  };
}

/** Goroutines that moved in a capture without a stop, each by its id, as far as a list is of use. */
function tornWarnings(goids: readonly number[]): Warning[] {
  const code = 'goroutine-torn';
  const listed = goids.slice(0, MAX_TORN).map((goid) => ({ code, goid, message: 'it moved while it was read' }));
  const more = goids.length - listed.length;
  return more === 0 ? listed : [...listed, { code, message: `${more} more goroutines moved while they were read` }];
}

const MAX_TORN = 1000;
const NO_SCHED: Omit<Summary['sched'], 'gcPhase'> = {
  runqsize: 0,
  nmidle: 0,
  npidle: 0,
  nmspinning: 0,
  gcwaiting: false,
};

function describeProcessors(program: GoProgram): Summary['ps'] {
  const machines = new Map(program.machines.map((m) => [m.addr, m]));
  const { monotonicNs } = program.image.capture;
  const now = monotonicNs === null ? null : Number(monotonicNs);
  return program.processors.map((p) => ({
    id: p.id,
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

/** The kernel's letters in words: R runs, S D I sleep, T t are stopped, Z X are gone. */
function threadCounts(program: GoProgram): Summary['threads'] {
  const { threads } = program.image;
  const count = (letters: string): number => threads.filter(({ state }) => letters.includes(state)).length;
  return {
    total: threads.length,
    running: count('R'),
    sleeping: count('SDI'),
    stopped: count('Tt'),
    zombie: count('ZX'),
  };
}
