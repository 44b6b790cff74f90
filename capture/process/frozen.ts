import type { Arch } from '../../snapshots/arch.js';
import { Registers } from '../../snapshots/registers.js';
import type { Cgroup } from './cgroup.js';
import { frozenCgroup } from './frozen-cgroup.js';
import { listThreads, parseStat, tryText } from './procfs.js';

/** A process that stands still because its cgroup is frozen, as `docker pause` does it. */
export interface Freeze {
  /** What keeps it frozen, as a phrase. */
  readonly by: string;
  /** By thread id, the registers that the kernel shows of a thread that stands still. Empty where they are too few. */
  readonly registers: ReadonlyMap<number, Registers>;
  /** Differs if any thread ran between two looks. */
  readonly fingerprint: string;
}

/**
 * Where a frozen thread waits. In a version 2 cgroup it is asleep in the trap that signals lead to (do_freezer_trap in
 * kernel/signal.c, which compilers put into get_signal).
 */
const TRAPS = new Set(['do_freezer_trap', 'get_signal']);
/**
 * In a version 1 cgroup it is in state D, in the kernel's refrigerator (kernel/freezer.c) or, since Linux 6.1, in the wait
 * that it was in (TASK_FROZEN). In these waits no thread is in state D otherwise.
 */
const FREEZABLE = /^(__refrigerator|do_signal_stop|futex_|do_futex|do_epoll|ep_poll|hrtimer_nanosleep|do_nanosleep)/;

/** Returns null unless every thread of a process is frozen. Takes some microseconds if the first one is not. */
export function readFreeze(pid: number, arch: Arch): Freeze | null {
  const looks: string[] = [];
  const registers = new Map<number, Registers>();
  let cgroup: Cgroup | null | undefined;
  let isCertain = false;
  for (const tid of listThreads(pid)) {
    const task = `/proc/${pid}/task/${tid}`;
    const state = stateOf(task);
    if (state === 'Z' || state === 'X') continue;
    const where = readText(`${task}/wchan`);
    const trapped = state === 'S' && TRAPS.has(where);
    const chilled = state === 'D' && FREEZABLE.test(where);
    if (trapped || chilled) isCertain = true;
    else if (!'DTt'.includes(state) && where !== '0') return null;
    else {
      if (cgroup === undefined) cgroup = frozenCgroup(pid);
      if (cgroup === null && state !== 'D') return null;
    }
    const shown = readText(`${task}/syscall`);
    const parsed = parseSyscall(arch, shown);
    if (parsed === 'running') return null;
    if (parsed !== null) registers.set(tid, parsed);
    looks.push(`${tid} ${readText(`${task}/schedstat`)} ${shown}`);
  }
  if (looks.length === 0) return null;
  if (cgroup === undefined) cgroup = frozenCgroup(pid);
  if (!isCertain && cgroup === null) return null;
  const by = cgroup === null ? 'by a cgroup that is not visible from here' : `by the cgroup ${cgroup.path}`;
  return { by, registers, fingerprint: looks.join('\n') };
}

function stateOf(task: string): string {
  const stat = readText(`${task}/stat`);
  return stat === '' ? 'X' : parseStat(stat).state;
}

/**
 * The registers in /proc/PID/task/TID/syscall (proc_pid_syscall in fs/proc/base.c): the number and arguments of the system
 * call that the thread is in, or -1, then its stack pointer and pc. 'running' for one that does not stand still; null where
 * the text is malformed, and on arm64, where a stack cannot be followed without the link register.
 */
export function parseSyscall(arch: Arch, text: string): Registers | 'running' | null {
  if (text === 'running') return 'running';
  if (arch !== 'amd64' || !/^-?\d+( 0x[0-9a-f]{1,16}){2}(( 0x[0-9a-f]{1,16}){6})?$/.test(text)) return null;
  const words = text.split(' ').map((word) => BigInt(word));
  const [number = -1n, ...rest] = words;
  const [sp = 0n, pc = 0n] = rest.slice(-2);
  const names = rest.length === 8 ? ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] : [];
  const args = names.map((name, i): [string, bigint] => [name, rest[i] ?? 0n]);
  return Registers.of(arch, new Map([['orig_rax', number], ['rip', pc], ['rsp', sp], ...args]));
}

/** Without the line end; empty if the file cannot be read. */
function readText(path: string): string {
  return tryText(path)?.trim() ?? '';
}
