import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { hostArch } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import type { StopperOptions } from './stopper-process.js';
import { tracers, until } from './targets.js';

/** A process that stops another one over and over: `node stopper.js PID OPTIONS`, the options as JSON. */
const pid = Number(process.argv[2]);
const {
  count,
  holdMs = 0,
  pauseMs = 1,
  hardLimitSeconds = 5,
  logical = false,
  checked = false,
} = JSON.parse(process.argv[3] ?? '{}') as StopperOptions;

function isTracedBy(pid: number, tracer: number): boolean {
  return tracers(pid).includes(tracer);
}

function hold(): void {
  const end = performance.now() + holdMs;
  while (performance.now() < end);
}

process.stdout.write('begun\n');
for (let i = 0; i < count; i++) {
  try {
    const late = logical ? { late: hold, realTime: true } : {};
    withStopped(pid, { arch: hostArch(), hardLimitSeconds, ...late }, hold);
  } catch (error) {
    if (!(error instanceof GospyError) || error.exitCode !== ExitCode.noGoProcess) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  if (checked) await until(() => !isTracedBy(pid, process.pid), 'the process to be let go');
}
