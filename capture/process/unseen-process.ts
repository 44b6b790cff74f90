import { readFileSync, readdirSync } from 'node:fs';
import { noGoProcess, permissionError, type GospyError } from '../../snapshots/errors.js';
import { readOwnFacts } from './access-facts.js';
import { OUTSIDE_ADVICE, adviseCapability, holdsPtrace } from './privileges.js';
import { readStatus, type ProcessStatus } from './procfs.js';

/** Processes that are named in a hint. */
const MOST_NAMED = 3;

/** The error for a process that /proc does not show; null if there is no more to say than that there is none. */
export function explainUnseen(pid: number): GospyError | null {
  const own = readOwnFacts();
  if (exists(pid)) {
    const option = readHiding();
    if (option === null) return null;
    return permissionError(
      `Process ${pid} exists, but /proc hides it from gospy: it is mounted with ${option}, which shows only the processes ` +
        'that gospy may trace.',
      {
        hint: holdsPtrace(own)
          ? OUTSIDE_ADVICE
          : `${adviseCapability(own, null)} Or run it as the user of the process.`,
      },
    );
  }
  const hint = innerHint(pid);
  if (hint !== null) return noGoProcess(`There is no process ${pid} here.`, { hint });
  if (own.inFirstPidNamespace) return null;
  return noGoProcess(`There is no process ${pid} in this pid namespace.`, {
    hint:
      'gospy runs in a container, which has pids of its own: `pgrep -a NAME` shows those, and a process outside of it can be ' +
      'captured only from outside, or with `--pid=host`.',
  });
}

/** What to type if somebody named a process by the pid that it has in a container; null if none has that one. */
export function innerHint(pid: number): string | null {
  const inner = findInner(pid);
  if (inner.length === 0) return null;
  const named = inner.slice(0, MOST_NAMED).map((process) => `${process.pid} (${process.name})`);
  const more = inner.length > MOST_NAMED ? ` and ${inner.length - MOST_NAMED} more` : '';
  return `What a container calls ${pid} is here ${named.join(', ')}${more}: type that number.`;
}

/** The option by which /proc hides processes from gospy; null if it hides none. */
export function readHiding(): string | null {
  // In another user namespace, ids of groups are others than those of the mount.
  const groups = readOwnFacts().inFirstUserNamespace ? (process.getgroups?.() ?? []) : [];
  return hidingOption(readFileSync('/proc/self/mounts', 'utf8'), groups);
}

/**
 * The option, in the text of /proc/self/mounts, by which the uppermost /proc hides processes from one who is in `groups`. Those of
 * the option gid see all, but where only processes are shown that one may trace (has_pid_permissions in fs/proc/base.c).
 */
export function hidingOption(mounts: string, groups: readonly number[]): string | null {
  const line = mounts.split('\n').findLast((mount) => mount.split(' ')[1] === '/proc');
  const options = line?.split(' ')[3] ?? '';
  const [option = null, kind] = /\bhidepid=(?!0\b|off\b)(\w+)/.exec(options) ?? [];
  const [, group = '0'] = /\bgid=(\d+)/.exec(options) ?? [];
  const seesAll = kind !== '4' && kind !== 'ptraceable' && groups.includes(Number(group));
  return seesAll ? null : option;
}

/** Whether there is a process of a pid in gospy's own pid namespace, whatever /proc shows. Sends it nothing. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The processes that have a number in a pid namespace below gospy's own. */
function findInner(number: number): ProcessStatus[] {
  const found: ProcessStatus[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = readStatus(Number(name));
      if (status.namespacePids.slice(1).includes(number)) found.push(status);
    } catch {
      // It has ended, or is hidden.
    }
  }
  return found;
}
