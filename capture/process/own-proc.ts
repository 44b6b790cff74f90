import { readdirSync, readlinkSync, statfsSync } from 'node:fs';
import { permissionError } from '../../snapshots/errors.js';
import { readStatus } from './procfs.js';

/** PROC_SUPER_MAGIC of the kernel's uapi/linux/magic.h. */
const PROC_FILE_SYSTEM = 0x9fa0;

/** What /proc shows of gospy itself. */
export interface ProcFacts {
  /** gospy's pid by getpid(2), as all system calls take it. */
  readonly pid: number;
  /** The magic number of the file system that is mounted on /proc; null if there is none. */
  readonly fileSystem: number | null;
  /** Where /proc/self leads; null if gospy is not in the pid namespace that /proc shows. */
  readonly self: string | null;
  /** gospy's pids from the pid namespace that /proc shows down to its own; empty if `self` is null. */
  readonly namespacePids: readonly number[];
}

/** Why pids in /proc cannot be used, as a clause, and what to try. */
export interface ProcFault {
  readonly finding: string;
  readonly advice: string;
}

export function readProcFacts(): ProcFacts {
  const { pid } = process;
  const self = orNull(() => readlinkSync('/proc/self'));
  return {
    pid,
    fileSystem: orNull(() => statfsSync('/proc').type),
    self,
    namespacePids: self === null ? [] : readStatus(Number(self)).namespacePids,
  };
}

/**
 * What is wrong with /proc; null if the pids in it are those that system calls take. In the /proc of another pid namespace
 * they are not: what is found under a number there is one process, and what would be attached to by it is another.
 */
export function procFault({ pid, fileSystem, self, namespacePids }: ProcFacts): ProcFault | null {
  if (fileSystem !== PROC_FILE_SYSTEM) {
    return {
      finding: 'no proc file system is mounted on /proc, through which gospy finds and reads processes',
      advice: 'Mount one (`mount -t proc proc /proc`), or run gospy where there is one.',
    };
  }
  // A number of the one namespace may happen to be the same in the other, so the levels count too.
  if (self === String(pid) && namespacePids.length === 1) return null;
  const shown = self === null ? 'without gospy in it' : `with gospy as process ${self} in it`;
  return {
    finding:
      `/proc shows another pid namespace than gospy's own, ${shown}; to system calls, gospy is process ${pid}. ` +
      'A number could name one process in /proc and another to be attached to, so none is read or attached to',
    advice:
      'Run gospy in the pid namespace that /proc shows, or mount a /proc for its own: `unshare --mount-proc`, `nsenter` with ' +
      'both --pid and --mount, a container with `--pid=host` (`hostPID: true`) or without the /proc of the host over its own.',
  };
}

/** Throws `permission` if pids in /proc are not those that system calls take. Nothing may be done by a pid before this. */
export function assertOwnProc(): void {
  const fault = procFault(readProcFacts());
  if (fault !== null) throw permissionError(`Processes cannot be reached: ${fault.finding}.`, { hint: fault.advice });
}

/** gospy's threads, by the ids that system calls take; none if /proc does not show those. */
export function ownThreads(): number[] {
  const isOwn = orNull(() => procFault(readProcFacts()) === null) ?? false;
  return isOwn ? (orNull(() => readdirSync('/proc/self/task').map(Number)) ?? []) : [];
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
