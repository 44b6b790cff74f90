import { join } from 'node:path';
import { cgroupsOf, countIn, linesOf, numberIn, type Cgroup } from './cgroup.js';
import { numberAt } from './procfs.js';

/** What the memory limits of the cgroups of a process leave. */
export interface MemoryLeft {
  readonly bytes: number;
  /**
   * What the kernel does once nothing is left: it ends one process; or all of the cgroup, as in a container of Kubernetes since
   * 1.28; or it slows all of them down.
   */
  readonly then: 'ends one' | 'ends all' | 'slows all';
}

const TO_ALL: Readonly<Record<MemoryLeft['then'], string | null>> = {
  'ends one': null,
  'ends all': 'ends all processes of that container (memory.oom.group)',
  'slows all': 'slows all processes of that container down (memory.high)',
};

/** What the kernel does to all processes of a container if they use so many bytes more, for messages; null if nothing. */
export function harmToAll({ bytes, then }: MemoryLeft, more: number): string | null {
  return more > bytes ? TO_ALL[then] : null;
}

/** OVERCOMMIT_NEVER of the kernel's uapi/linux/mman.h. */
const STRICT = 2;

/** The least that any limit leaves to a process; null if there is no limit, or none that can be seen. `root` is for tests. */
export function memoryLeft(pid: number | 'self', root = '/'): MemoryLeft | null {
  let least: MemoryLeft | null = null;
  const consider = (bytes: number | null, then: MemoryLeft['then']): void => {
    if (bytes !== null && (least === null || bytes < least.bytes)) least = { bytes, then };
  };
  for (const { version, folders } of cgroupsOf(pid, 'memory', root)) {
    let endsAll = false;
    for (const folder of folders) {
      // What is set in a cgroup below the one whose limit is reached counts (mem_cgroup_get_oom_group in mm/memcontrol.c).
      endsAll ||= version === 2 && linesOf(join(folder, 'memory.oom.group'))[0] === '1';
      consider(leftIn(folder, version, FILES[version].limit), endsAll ? 'ends all' : 'ends one');
      if (version === 2) consider(leftIn(folder, version, 'memory.high'), 'slows all');
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

/** Bytes that a limit of a cgroup leaves; null if it has none. Version 1 has a number for none that no machine reaches. */
function leftIn(folder: string, version: Cgroup['version'], name: string): number | null {
  const files = FILES[version];
  const [limit, used] = [numberIn(folder, name), numberIn(folder, files.used)];
  if (limit === null || used === null || limit > Number.MAX_SAFE_INTEGER) return null;
  return Math.max(0, limit - used + (countIn(folder, 'memory.stat', files.cache) ?? 0));
}
