import { closeSync, openSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { noGoProcess, permissionError, type GospyError } from '../../snapshots/errors.js';
import { Errno, errnoName } from '../libc.js';
import { liveThread, readStat, readStatus, type ProcessStatus } from './procfs.js';

const CAP_SYS_PTRACE = 19n;

/** One of the kernel's conditions for reaching into another process. */
export interface AccessCheck {
  readonly name: 'tracer' | 'uid' | 'capabilities' | 'dumpable' | 'yama' | 'seccomp';
  /** null if it cannot be known from here. */
  readonly ok: boolean | null;
  /** What was found, as a clause: `it belongs to uid 0 and gospy runs as uid 1000`. */
  readonly finding: string;
  /** What to try if `ok` is false. */
  readonly advice: string | null;
}

/**
 * Throws unless the process is alive, is not a kernel thread, and the kernel would let gospy `stop` it or `read` it; another
 * tracer prevents only the first. Nothing is stopped: the kernel checks an open of /proc/PID/mem as it checks an attach.
 *
 * Throws `noGoProcess` (no process, a zombie, a kernel thread) and `permission`.
 */
export function assertReachable(pid: number, purpose: 'stop' | 'read'): void {
  const { kernelThread, name } = readStat(pid);
  if (kernelThread) throw noGoProcess(`Process ${pid} (${name}) is a kernel thread, not a Go program.`);
  if (pid === process.pid) throw noGoProcess(`Process ${pid} is gospy itself, which cannot stop itself.`);
  const tid = liveThread(pid);
  const { tracerPid } = readStatus(pid);
  const traced = tracerPid !== 0 && tracerPid !== process.pid;
  if (traced && purpose === 'stop') throw refusal(pid, 'Attaching', Errno.EPERM);
  try {
    closeSync(openSync(`/proc/${pid}/task/${tid}/mem`, 'r'));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') throw refusal(pid, 'Attaching', Errno.EPERM, cause);
    throw noGoProcess(`Process ${pid} ended while gospy looked at it.`, { cause });
  }
}

/** The error for an operation on a process that the kernel refused with an errno: which check failed, and what to type. */
export function refusal(pid: number, operation: string, code: number, cause?: unknown): GospyError {
  if (code === Errno.ESRCH) return noGoProcess(`Process ${pid} ended while gospy looked at it.`, { cause });
  const status = readStatus(pid);
  const checks = accessChecks(pid);
  const foreign = checks.some(({ name, ok }) => name === 'uid' && ok === false);
  // For another user's process the kernel does not get to the capabilities.
  const denied = checks.filter(({ name, ok }) => ok === false && !(foreign && name === 'capabilities'));
  const failed = denied.length > 0 ? denied : checks.filter(({ ok, name }) => ok === null && name === 'seccomp');
  const reasons = failed.map(({ finding }) => finding).join('; ');
  const advice = failed.map((check) => check.advice).filter((text) => text !== null);
  return permissionError(
    `${operation} to process ${pid} (${status.name}) was refused (${errnoName(code)}): ` +
      (reasons || 'every check that can be seen from here passes, which leaves a security module (AppArmor, SELinux)') +
      '.',
    {
      hint: [...new Set(advice)].join(' ') || 'Look for a denial in the audit log: `dmesg | grep -i denied`.',
      cause,
    },
  );
}

/** The kernel's conditions for tracing a process, in the order in which it checks them. Throws `noGoProcess`. */
export function accessChecks(pid: number): AccessCheck[] {
  const self = readStatus(process.pid);
  const target = readStatus(pid);
  const capable = hasPtraceCapOver(self, pid);
  return [
    tracerCheck(target),
    uidCheck(self, target, capable),
    capabilityCheck(self, target, capable),
    dumpableCheck(target, capable),
    yamaCheck(self, target, capable),
    seccompCheck(self),
  ];
}

/** What gospy may trace by its own rights, whatever the process. */
export interface TracingRights {
  readonly uid: number;
  /** Whether gospy has CAP_SYS_PTRACE in its own user namespace. */
  readonly hasPtraceCap: boolean;
  /** 0 also on a kernel without Yama. */
  readonly yamaScope: number;
}

/** gospy's own rights. */
export function tracingRights(): TracingRights {
  const self = readStatus(process.pid);
  return { uid: self.uids[1] ?? -1, hasPtraceCap: holdsPtraceCap(self), yamaScope: yamaScope() };
}

function holdsPtraceCap({ effectiveCaps }: ProcessStatus): boolean {
  return (effectiveCaps / 2n ** CAP_SYS_PTRACE) % 2n === 1n;
}

/** CAP_SYS_PTRACE must be held in the target's user namespace: gospy's own, or one below it. */
function hasPtraceCapOver(self: ProcessStatus, pid: number): boolean {
  if (!holdsPtraceCap(self)) return false;
  const [own, its] = [userNamespace('self'), userNamespace(pid)];
  // Another namespace is either below gospy's or out of its reach. Only in the first case can its link be read.
  return own === null || own === its || its !== null;
}

function userNamespace(pid: number | 'self'): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`);
  } catch {
    return null;
  }
}

function tracerCheck({ tracerPid }: ProcessStatus): AccessCheck {
  const free = tracerPid === 0 || tracerPid === process.pid;
  const tracer = free ? '' : `${nameOf(tracerPid)} (pid ${tracerPid})`;
  return {
    name: 'tracer',
    ok: free,
    finding: free ? 'nobody traces it' : `${tracer} traces it already, and a process has one tracer at most`,
    advice: free ? null : `Detach or end ${tracer}, or capture with --mode live.`,
  };
}

function uidCheck(self: ProcessStatus, target: ProcessStatus, capable: boolean): AccessCheck {
  const [uid = -1] = self.uids;
  const [gid = -1] = self.gids;
  const same = target.uids.slice(0, 3).every((id) => id === uid) && target.gids.slice(0, 3).every((id) => id === gid);
  const its = target.uids[1] ?? -1;
  const whose = uid === its ? `it runs with other user or group ids than gospy` : `it belongs to uid ${its}`;
  return {
    name: 'uid',
    ok: same || capable,
    finding: same
      ? `it belongs to uid ${its}, as gospy`
      : `${whose} and gospy runs as uid ${uid} without CAP_SYS_PTRACE`,
    advice:
      same || capable ? null : 'Run gospy as root (`sudo gospy ...`); in a container, add the SYS_PTRACE capability.',
  };
}

/** Without CAP_SYS_PTRACE, a process may be traced only by a process that has all of its capabilities. */
function capabilityCheck(self: ProcessStatus, target: ProcessStatus, capable: boolean): AccessCheck {
  const covered = (target.permittedCaps | self.permittedCaps) === self.permittedCaps;
  return {
    name: 'capabilities',
    ok: covered || capable,
    finding: covered ? 'it has no capability that gospy lacks' : 'it holds capabilities that gospy does not have',
    advice: covered || capable ? null : 'Run gospy as root (`sudo gospy ...`).',
  };
}

/** In /proc, the files of an undumpable process belong to root. */
function dumpableCheck(target: ProcessStatus, capable: boolean): AccessCheck {
  const owner = statSync(`/proc/${target.pid}/environ`, { throwIfNoEntry: false })?.uid;
  const euid = target.uids[1];
  const dumpable = owner === undefined || euid === 0 ? null : owner === euid;
  const denied = dumpable === false && !capable;
  return {
    name: 'dumpable',
    ok: capable ? true : dumpable,
    finding: denied
      ? 'it is marked as not dumpable (prctl PR_SET_DUMPABLE, or a file that only root may read)'
      : 'it is dumpable',
    advice: denied ? 'Run gospy as root (`sudo gospy ...`).' : null,
  };
}

function yamaCheck(self: ProcessStatus, target: ProcessStatus, capable: boolean): AccessCheck {
  const scope = yamaScope();
  const finding = `Yama's ptrace_scope is ${scope}`;
  if (scope === 0) return { name: 'yama', ok: true, finding, advice: null };
  if (scope === 3) {
    return { name: 'yama', ok: false, finding, advice: 'ptrace_scope 3 forbids every attach until the next boot.' };
  }
  const ok = capable || (scope === 1 && isDescendant(target, self.pid));
  const advice = 'Run gospy as root (`sudo gospy ...`), or type `sudo sysctl kernel.yama.ptrace_scope=0`.';
  return { name: 'yama', ok, finding, advice: ok ? null : advice };
}

function seccompCheck(self: ProcessStatus): AccessCheck {
  const filtered = self.seccomp !== 0;
  return {
    name: 'seccomp',
    ok: filtered ? null : true,
    finding: filtered ? 'gospy runs under a seccomp filter' : 'gospy runs under no seccomp filter',
    advice: filtered ? 'In a container: `--cap-add SYS_PTRACE`, or `--security-opt seccomp=unconfined`.' : null,
  };
}

function isDescendant(target: ProcessStatus, ancestor: number): boolean {
  let { parentPid } = target;
  for (let depth = 0; depth < 64 && parentPid > 1; depth++) {
    if (parentPid === ancestor) return true;
    try {
      ({ parentPid } = readStatus(parentPid));
    } catch {
      return false;
    }
  }
  return false;
}

function yamaScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8'));
  } catch {
    return 0;
  }
}

function nameOf(pid: number): string {
  try {
    return readStat(pid).name;
  } catch {
    return 'a process';
  }
}
