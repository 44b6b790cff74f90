import { closeSync, openSync, readSync, readlinkSync, statSync } from 'node:fs';
import { liveThread, readMappings, readStat, readStatus, tryText } from './procfs.js';

/** A user namespace, as far as gospy can tell. */
export interface UserNamespace {
  /** What tells it from others; null if gospy may not know it, or if the kernel has none. */
  readonly id: string | null;
  /** Its uid_map, which anybody may read: the ids in it are those of gospy's own namespace. */
  readonly uidMap: string;
}

/** What decides what gospy may trace, whatever the process. */
export interface OwnFacts {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly permittedCaps: bigint;
  readonly effectiveCaps: bigint;
  readonly boundingCaps: bigint;
  readonly noNewPrivileges: boolean;
  /** 0: none, 1: strict, 2: a filter. */
  readonly seccomp: number;
  readonly userNamespace: UserNamespace;
  /** False in a user namespace below the first of the machine. */
  readonly inFirstUserNamespace: boolean;
  /** False in a pid namespace below the first of the machine: a container. */
  readonly inFirstPidNamespace: boolean;
  /** null on a kernel without Yama; `unknown` if /proc does not show settings of the kernel. */
  readonly yamaScope: number | null | 'unknown';
  /** The security modules of the kernel; null if that cannot be seen. */
  readonly securityModules: readonly string[] | null;
  /** The AppArmor profile or SELinux context in which gospy runs; null if there is none. */
  readonly securityLabel: string | null;
}

/** What decides whether a process may be traced. */
export interface TargetFacts {
  readonly pid: number;
  /** The process that traces it, if gospy can see that one. */
  readonly tracer: { readonly pid: number; readonly name: string } | null;
  /** Real, effective, saved. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly permittedCaps: bigint;
  readonly userNamespace: UserNamespace;
  /** To whom the files of the process in /proc belong: to its effective user, or to root if it is not dumpable. */
  readonly filesOwner: number | null;
  readonly descendsFromGospy: boolean;
  readonly securityLabel: string | null;
}

/** Everything that is known about whether gospy may trace a process. */
export interface AccessFacts {
  readonly own: OwnFacts;
  readonly target: TargetFacts;
  /**
   * Whether its memory could be read. The kernel checks that exactly as it checks an attach, except that it lets nobody
   * attach to what is traced already, and that a seccomp filter can forbid either call.
   */
  readonly readable: boolean;
  /** Whether gospy can attach to a child of its own; null if that was not tried. */
  readonly canTrace: boolean | null;
}

/** Gathers what is known. Nothing is stopped. Throws `noGoProcess` if there is no such process. */
export function readAccessFacts(pid: number, canTrace: boolean | null = null): AccessFacts {
  return { own: readOwnFacts(), target: readTargetFacts(pid), readable: isReadable(pid), canTrace };
}

/** Inode numbers of the first namespaces of a machine: PROC_USER_INIT_INO, PROC_PID_INIT_INO in the kernel's proc_ns.h. */
const FIRST_USER_NAMESPACE = 'user:[4026531837]';
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

export function readOwnFacts(): OwnFacts {
  const { pid } = process;
  const status = readStatus(pid);
  const userNamespace = readUserNamespace(pid);
  const pidNamespace = link(`/proc/${pid}/ns/pid`);
  return {
    pid,
    uid: status.uids[0] ?? -1,
    gid: status.gids[0] ?? -1,
    permittedCaps: status.permittedCaps,
    effectiveCaps: status.effectiveCaps,
    boundingCaps: status.boundingCaps,
    noNewPrivileges: status.noNewPrivileges,
    seccomp: status.seccomp,
    userNamespace,
    inFirstUserNamespace: userNamespace.id === null || userNamespace.id === FIRST_USER_NAMESPACE,
    inFirstPidNamespace: pidNamespace === null || pidNamespace === FIRST_PID_NAMESPACE,
    yamaScope: readYamaScope(),
    securityModules: text('/sys/kernel/security/lsm')?.split(',') ?? null,
    securityLabel: readSecurityLabel(pid),
  };
}

function readTargetFacts(pid: number): TargetFacts {
  const status = readStatus(pid);
  const { tracerPid } = readStatus(pid, liveThread(pid));
  return {
    pid,
    tracer: tracerPid === 0 || tracerPid === process.pid ? null : describeTracer(tracerPid),
    uids: status.uids.slice(0, 3),
    gids: status.gids.slice(0, 3),
    permittedCaps: status.permittedCaps,
    userNamespace: readUserNamespace(pid),
    filesOwner: ownerOf(`/proc/${pid}/environ`),
    descendsFromGospy: isDescendant(status.parentPid, process.pid),
    securityLabel: readSecurityLabel(pid),
  };
}

/** The kernel names the thread that traces; people know its process. */
function describeTracer(tid: number): TargetFacts['tracer'] {
  try {
    const { threadGroup } = readStatus(tid);
    return { pid: threadGroup, name: readStat(threadGroup).name };
  } catch {
    return { pid: tid, name: 'a process' };
  }
}

/** Opens the memory of the process and reads a byte of it, as `--mode live` does. */
function isReadable(pid: number): boolean {
  let file: number | null = null;
  try {
    const tid = liveThread(pid);
    file = openSync(`/proc/${pid}/task/${tid}/mem`, 'r');
    const fd = file;
    return readMappings(pid, tid).some(({ readable, start }) => readable && hasByteAt(fd, start));
  } catch {
    return false;
  } finally {
    if (file !== null) closeSync(file);
  }
}

function hasByteAt(fd: number, addr: number): boolean {
  try {
    return readSync(fd, new Uint8Array(1), 0, 1, addr) === 1;
  } catch {
    return false; // a page of a file that was cut short
  }
}

function isDescendant(parentPid: number, ancestor: number): boolean {
  for (let pid = parentPid, depth = 0; depth < 64 && pid > 1; depth++) {
    if (pid === ancestor) return true;
    try {
      pid = readStatus(pid).parentPid;
    } catch {
      return false;
    }
  }
  return false;
}

function readUserNamespace(pid: number): UserNamespace {
  const uidMap = text(`/proc/${pid}/uid_map`) ?? '';
  return { id: link(`/proc/${pid}/ns/user`), uidMap: uidMap.replace(/\s+/g, ' ') };
}

function readYamaScope(): OwnFacts['yamaScope'] {
  const scope = text('/proc/sys/kernel/yama/ptrace_scope');
  if (scope !== null) return Number(scope);
  return ownerOf('/proc/sys/kernel') === null ? 'unknown' : null;
}

function readSecurityLabel(pid: number): string | null {
  const label = text(`/proc/${pid}/attr/current`)?.replaceAll('\0', '') ?? '';
  return label === '' ? null : label;
}

/** Trimmed; null if it cannot be read. */
function text(path: string): string | null {
  return tryText(path)?.trim() ?? null;
}

function ownerOf(path: string): number | null {
  try {
    return statSync(path).uid;
  } catch {
    return null;
  }
}

function link(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
