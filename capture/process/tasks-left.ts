import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupsOf, numberIn } from './cgroup.js';
import { numberAt } from './procfs.js';

/** Where at least so many are left to a user, nothing depends on how many exactly. */
const PLENTY = 1000;

/**
 * How many threads and processes more there can be before a process may start none: by the limits of its cgroups, of its user
 * and of the machine (copy_process in the kernel's kernel/fork.c). Infinity if no limit can be seen. `root` is for tests.
 */
export function tasksLeft(pid: number, root = '/'): number {
  return Math.max(0, Math.min(leftByCgroups(pid, root), leftToUser(pid, root), leftByMachine(root)));
}

function leftByCgroups(pid: number, root: string): number {
  const folders = cgroupsOf(pid, 'pids', root).flatMap((cgroup) => cgroup.folders);
  const left = folders.map(
    (folder) => (numberIn(folder, 'pids.max') ?? Infinity) - (numberIn(folder, 'pids.current') ?? 0),
  );
  return Math.min(...left);
}

/** By RLIMIT_NPROC, to which root is not held. */
function leftToUser(pid: number, root: string): number {
  const limit = numberAt(join(root, `proc/${pid}/limits`), /^Max processes +(\d+)/m);
  const uid = realUser(join(root, `proc/${pid}`));
  if (limit === null || uid === null || uid === 0) return Infinity;
  // Most limits are far above all that there is: then the user's own need not be counted.
  const atLeast = limit - tasksOfMachine(root);
  if (atLeast >= PLENTY) return atLeast;
  const folders = readdirSync(join(root, 'proc')).filter((name) => /^\d+$/.test(name));
  const tasks = folders.map((name) => join(root, 'proc', name)).filter((folder) => realUser(folder) === uid);
  return limit - tasks.reduce((sum, folder) => sum + (numberAt(join(folder, 'status'), /^Threads:\s+(\d+)/m) ?? 0), 0);
}

function leftByMachine(root: string): number {
  const limits = ['threads-max', 'pid_max'].map((name) => numberAt(join(root, 'proc/sys/kernel', name), /(\d+)/));
  return Math.min(...limits.map((limit) => limit ?? Infinity)) - tasksOfMachine(root);
}

/** Those of all pid namespaces: the fourth field of /proc/loadavg has the ones that run, and all (proc_loadavg(5)). */
function tasksOfMachine(root: string): number {
  return numberAt(join(root, 'proc/loadavg'), /\/(\d+)/) ?? 0;
}

function realUser(folder: string): number | null {
  return numberAt(join(folder, 'status'), /^Uid:\s+(\d+)/m);
}
