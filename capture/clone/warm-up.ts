import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Addr } from '../../snapshots/address.js';
import { Cloner } from './clone.js';
import { hostArch } from '../process/procfs.js';
import { withStopped } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracees.js';

/** Stops of the stand-in: enough that the code of a stop is compiled. Each takes about a quarter of a millisecond. */
const ROUNDS = 30;
/** For how long what is done in the stop is done in the rehearsal too: what takes long is compiled by then. */
const LOOK_MS = 40;
const SYS_GETPID = 39;
const SYSCALL_BYTES = 2;
const ERESTARTSYS = -512;
/** What waits on its standard input, cheapest first: a container may hold nothing but Node. */
const STAND_INS: readonly (readonly [string, readonly string[]])[] = [
  ['/bin/cat', []],
  [process.execPath, ['-e', 'process.stdin.resume()']],
];

/**
 * Stops a process of gospy's own some times and lets it go, so that the one stop that matters is not the first: code
 * that never ran takes ten times as long. `look` is what will be done in it, here with the one thread of the stand-in.
 * Whatever goes wrong here shows in the stop itself.
 */
export async function warmUpStop(look: (thread: StoppedThread) => void): Promise<void> {
  for (const [file, args] of STAND_INS) {
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await once(child, 'spawn');
    } catch {
      continue;
    }
    try {
      const until = performance.now() + LOOK_MS;
      for (let i = 0; i < ROUNDS && child.pid !== undefined; i++) {
        withStopped(child.pid, { arch: hostArch() }, ([thread]) => {
          if (thread !== undefined && performance.now() < until) look(thread);
        });
      }
    } catch {
      return;
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    return;
  }
}

/** Rehearses a clone: a system call is made in the name of the stand-in as for a clone, but one that makes none. */
export async function warmUpClone(): Promise<void> {
  let cloner: Cloner | null = null;
  try {
    await warmUpStop((thread) => {
      const { registers, tid } = thread;
      if (registers === null) return;
      const syscall = Number(registers.pc) - SYSCALL_BYTES;
      const number = Number(registers.get('orig_rax'));
      const site = { syscall: syscall as Addr, number, interrupted: ERESTARTSYS, returnOffset: 0 };
      const target = { pid: tid, arch: hostArch(), sites: { waits: [site], exit: 0 as Addr } };
      cloner ??= new Cloner(target, new Map([[tid, 0]]), tid, SYS_GETPID);
      cloner.clone([thread], new Map());
    });
  } finally {
    (cloner as Cloner | null)?.close();
  }
}
