import { join } from 'node:path';
import { cgroupsOf, countIn, linesOf, numberIn, type Cgroup } from './cgroup.js';
import { numberAt } from './procfs.js';

/** What the memory limits of the cgroups of a process leave. */
export interface MemoryLeft {
  readonly bytes: number;
  /** True if the kernel ends all processes of the cgroup once nothing is left, as in a container of Kubernetes since 1.28. */
  readonly endsAll: boolean;
}

/** OVERCOMMIT_NEVER of the kernel's uapi/linux/mman.h. */
const STRICT = 2;

/** The least that any limit leaves to a process; null if there is no limit, or none that can be seen. `root` is for tests. */
export function memoryLeft(pid: number | 'self', root = '/'): MemoryLeft | null {
  let least: MemoryLeft | null = null;
  for (const { version, folders } of cgroupsOf(pid, 'memory', root)) {
    let endsAll = false;
    for (const folder of folders) {
      // What is set in a cgroup below the one whose limit is reached counts (mem_cgroup_get_oom_group in mm/memcontrol.c).
      endsAll ||= version === 2 && linesOf(join(folder, 'memory.oom.group'))[0] === '1';
      const bytes = leftIn(folder, version);
      if (bytes !== null && (least === null || bytes < least.bytes)) least = { bytes, endsAll };
    }
  }
  return least;
}

/**
 * Bytes that all processes together may still map privately to write to; null if the kernel does not count that strictly
 * (vm.overcommit_memory, proc_sys_vm(5)). `root` is for tests.
 */
export function commitLeft(root = '/'): number | null {
  const proc = (name: string, pattern: RegExp): number | null => numberAt(join(root, 'proc', name), pattern);
  if (proc('sys/vm/overcommit_memory', /^(\d+)/) !== STRICT) return null;
  const [limit, used] = [proc('meminfo', /^CommitLimit:\s+(\d+)/m), proc('meminfo', /^Committed_AS:\s+(\d+)/m)];
  return limit === null || used === null ? null : Math.max(0, limit - used) * 1024;
}

/** The limit, the use and, of that, the cache of files not used lately, which the kernel gives up first (cgroup-v2.rst, v1/memory.rst). */
const FILES = {
  1: { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', cache: 'total_inactive_file' },
  2: { limit: 'memory.max', used: 'memory.current', cache: 'inactive_file' },
} as const;

/** Bytes that the limit of a cgroup leaves; null if it has none. Version 1 has a number for none that no machine reaches. */
function leftIn(folder: string, version: Cgroup['version']): number | null {
  const files = FILES[version];
  const [limit, used] = [numberIn(folder, files.limit), numberIn(folder, files.used)];
  if (limit === null || used === null || limit > Number.MAX_SAFE_INTEGER) return null;
  return Math.max(0, limit - used + (countIn(folder, 'memory.stat', files.cache) ?? 0));
}
