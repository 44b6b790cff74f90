import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../capture/targets.js';

/** The folder of a new cgroup that has a file of a controller, which ends with the test; null if none can be made here. */
export function newCgroup(t: Test, version: 1 | 2, controller: string, file: string): string | null {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const isWanted = (line: string): boolean => {
    const [type, , options = ''] = line.split(' - ')[1]?.split(' ') ?? [];
    return version === 2 ? type === 'cgroup2' : type === 'cgroup' && options.split(',').includes(controller);
  };
  const parent = mounts.find(isWanted)?.split(' ')[4];
  if (parent === undefined) return null;
  const folder = join(parent, `gospy-test-${controller}-${process.pid}`);
  try {
    mkdirSync(folder);
  } catch {
    return null;
  }
  t.teardown(async () => {
    await until(() => readFileSync(join(folder, 'cgroup.procs'), 'utf8') === '', 'the programs to end');
    rmdirSync(folder);
  });
  try {
    readFileSync(join(folder, file));
    return folder;
  } catch {
    return null;
  }
}

/** Each period of a limit on CPU time, in microseconds. */
const PERIOD_US = 100_000;

/** The folder of a new cgroup with a limit on CPU time in each period of 100 ms; null if none can be made here. */
export function newCpuLimit(t: Test, version: 1 | 2, quotaUs: number): string | null {
  const [file, text] = version === 2 ? ['cpu.max', `${quotaUs} ${PERIOD_US}`] : ['cpu.cfs_quota_us', String(quotaUs)];
  const folder = newCgroup(t, version, 'cpu', file);
  if (folder !== null) writeFileSync(join(folder, file), text);
  return folder;
}

/** A new cgroup that leaves its processes as many more threads and processes as it is told to; null if none can be made here. */
export function newTaskLimit(t: Test): { readonly folder: string; leave(tasks: number): void } | null {
  const folder = newCgroup(t, 1, 'pids', 'pids.max') ?? newCgroup(t, 2, 'pids', 'pids.max');
  if (folder === null) return null;
  const used = (): number => Number(readFileSync(join(folder, 'pids.current'), 'utf8'));
  return {
    folder,
    leave: (tasks) => writeFileSync(join(folder, 'pids.max'), tasks === Infinity ? 'max' : String(used() + tasks)),
  };
}

/** The words of a command that runs another one in a cgroup. */
export function inCgroup(folder: string): [string, ...string[]] {
  return ['sh', '-c', 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', 'sh', folder];
}
