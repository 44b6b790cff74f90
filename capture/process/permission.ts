import { closeSync, openSync } from 'node:fs';
import { noGoProcess, permissionError, type GospyError } from '../../snapshots/errors.js';
import { Errno, errnoName } from '../libc.js';
import { accessChecks, type AccessCheck } from './access-checks.js';
import { readAccessFacts, type AccessFacts, type OwnFacts } from './access-facts.js';
import { assertOwnProc } from './own-proc.js';
import { liveThread, readStat, readStatus, type TaskStat } from './procfs.js';
import { explainUnseen, innerHint } from './unseen-process.js';

/**
 * Throws unless the process is alive, is not a kernel thread, and the kernel would let gospy `stop` it or `read` it; another
 * tracer prevents only the first. Nothing is stopped: the kernel checks an open of /proc/PID/mem as it checks an attach.
 *
 * Throws `noGoProcess` (no process, a thread, a zombie, a kernel thread) and `permission`.
 */
export function assertReachable(pid: number, purpose: 'stop' | 'read'): void {
  const tid = assertProcess(pid);
  const { tracerPid } = readStatus(pid, tid);
  const traced = tracerPid !== 0 && tracerPid !== process.pid;
  if (traced && purpose === 'stop') throw refusal(pid, 'Attaching', Errno.EPERM);
  try {
    closeSync(openSync(`/proc/${pid}/task/${tid}/mem`, 'r'));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') throw refusal(pid, 'Access', Errno.EPERM, cause);
    throw noGoProcess(`Process ${pid} ended while gospy looked at it.`, { cause });
  }
}

/**
 * Returns a thread that is alive. Throws `noGoProcess` unless `pid` names a process that could be a Go program, and
 * `permission` if /proc does not let gospy see that: nothing is read by a pid of another pid namespace.
 */
export function assertProcess(pid: number): number {
  assertOwnProc();
  const { kernelThread, name } = readVisibleStat(pid);
  if (kernelThread) {
    const hint = innerHint(pid);
    throw noGoProcess(`Process ${pid} (${name}) is a kernel thread, not a Go program.`, hint === null ? {} : { hint });
  }
  const { shownPid, threadGroup } = readStatus(pid);
  if (shownPid !== pid) {
    throw permissionError(`Something is mounted over /proc/${pid}: it shows process ${shownPid}.`, {
      hint: `Type \`umount /proc/${pid}\` as root, or run gospy where that is not mounted.`,
    });
  }
  if (threadGroup === process.pid) throw noGoProcess(`Process ${pid} is gospy itself, which cannot stop itself.`);
  if (threadGroup !== pid) {
    throw noGoProcess(
      `${pid} is not a process, but a thread of process ${threadGroup} (${readStat(threadGroup).name}).`,
      {
        hint: `Name the process: \`--pid ${threadGroup}\`.`,
      },
    );
  }
  return liveThread(pid);
}

/** Throws `permission` if the process is hidden, and as readStat does. */
function readVisibleStat(pid: number): TaskStat {
  try {
    return readStat(pid);
  } catch (cause) {
    throw explainUnseen(pid) ?? cause;
  }
}

/** The error for an operation on a process that the kernel refused with an errno: which check failed, and what to type. */
export function refusal(pid: number, operation: string, code: number, cause?: unknown): GospyError {
  if (code === Errno.ESRCH) return noGoProcess(`Process ${pid} ended while gospy looked at it.`, { cause });
  const { reasons, advice } = explainRefusal(readAccessFacts(pid));
  return permissionError(
    `${operation} to process ${pid} (${readStat(pid).name}) was refused (${errnoName(code)}): ${reasons}.`,
    { hint: advice, cause },
  );
}

const READABLE = 'Memory can be read all the same: `gospy capture --mode live` and `gospy top` attach to nothing.';

/** Why the kernel refused to let gospy attach, in clauses, and what to try. */
export function explainRefusal(facts: AccessFacts): { readonly reasons: string; readonly advice: string } {
  // Where the kernel permits to read, it permits to attach. If nobody traces the process, a filter forbids the call.
  const checks = accessChecks(facts.readable && facts.canTrace === null ? { ...facts, canTrace: false } : facts);
  const failed = causes(checks);
  const { reasons, advice } =
    failed.length > 0
      ? {
          reasons: failed.map(({ finding }) => finding).join('; '),
          advice: [...new Set(failed.flatMap((check) => check.advice ?? []))],
        }
      : unseenTracer(facts.own);
  return { reasons, advice: (facts.readable ? [...advice, READABLE] : advice).join(' ') };
}

/** The failed checks, without those that follow from another: the ids of another user namespace. */
function causes(checks: readonly AccessCheck[]): AccessCheck[] {
  const failed = checks.filter(({ ok }) => ok === false);
  return failed.some(({ name }) => name === 'namespace') ? failed.filter(({ name }) => name !== 'uid') : failed;
}

function unseenTracer({ inFirstPidNamespace }: OwnFacts): { reasons: string; advice: string[] } {
  const may = 'the kernel permits to read it, so another tracer has it';
  return inFirstPidNamespace
    ? { reasons: `${may}, or had it just now`, advice: ['Try again.'] }
    : {
        reasons: `${may}: one that has just ended, or one that cannot be seen from this pid namespace`,
        advice: ['Look for a debugger, strace or another gospy outside of this container.'],
      };
}
