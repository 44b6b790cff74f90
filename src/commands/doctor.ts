import type { Command } from 'commander';
import type { Io } from '../io.js';
import { requireLinux } from '../targets/live.js';
import { runtimeNames } from '../render/runtimes.js';
import { examples, jsonOption, pidOption } from '../options.js';
import { doctorText } from '../render/doctor.js';

interface DoctorOptions {
  readonly pid?: number;
  readonly json?: true;
}

/** `gospy doctor`: checks what would work on this machine, and on one process. */
export function define(command: Command, io: Io): void {
  command
    .summary('checks what would work here and says what to type where something would not')
    .description(
      'Checks whether live Go processes can be captured on this machine and, with --pid, whether that one can. The ' +
        'process is not stopped. Where a capture of it would fail, the exit code is the one it would fail with.',
    )
    .addOption(pidOption('check this process too'))
    .addOption(jsonOption())
    .action((options: DoctorOptions) => doctor(io, options));
  examples(command, ['gospy doctor', 'gospy doctor --pid 4711']);
}

async function doctor(io: Io, { pid, json }: DoctorOptions): Promise<void> {
  const [{ checkMachine }, { diagnose }, { measureThreadMs }] = await Promise.all([
    import('../doctor/machine.js'),
    import('../doctor/process.js'),
    import('../../capture/ptrace/thread-cost.js'),
  ]);
  const machine = await checkMachine();
  const isLive = pid !== undefined && process.platform === 'linux';
  const diagnosis = isLive ? diagnose(pid, machine, await measureThreadMs()) : null;
  const warnings = diagnosis?.warnings ?? [];
  if (json === true) {
    const checks = [...machine, ...(diagnosis?.checks ?? [])];
    await io.json({
      schema: 'gospy.doctor/1',
      ok: checks.every(({ ok }) => ok !== false),
      checks: machine,
      process: diagnosis === null ? null : { pid, checks: diagnosis.checks, modes: diagnosis.modes },
      target: diagnosis?.target ?? null,
      runtimes: diagnosis?.runtimes ?? [],
      warnings,
    });
  } else {
    await io.write(doctorText(machine, diagnosis));
  }
  io.warnings(warnings, runtimeNames(diagnosis?.runtimes ?? []));
  await io.end();
  if (pid !== undefined) requireLinux();
  if (diagnosis !== null && diagnosis.error !== null) throw diagnosis.error;
}
