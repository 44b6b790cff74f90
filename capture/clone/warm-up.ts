import type { Addr } from '../../snapshots/address.js';
import { hostArch } from '../process/procfs.js';
import type { StoppedThread } from '../ptrace/tracee.js';
import { warmUpStop } from '../ptrace/warm-up.js';
import { Cloner } from './clone.js';

const SYS_GETPID = 39;
const SYSCALL_BYTES = 2;
/** What the kernel leaves as the result of the stand-in's interrupted read(2). */
const ERESTARTSYS = -512;

/**
 * As {@link warmUpStop}, for a clone: injects a system call into the stand-in in the same way, but a harmless one. Then calls
 * `late` with the thread, as if it had trapped late.
 */
export async function warmUpClone(late: (thread: StoppedThread) => void): Promise<void> {
  let cloner: Cloner | null = null;
  try {
    await warmUpStop((thread) => {
      const { registers, tid } = thread;
      if (registers === null) return;
      const syscall = Number(registers.pc) - SYSCALL_BYTES;
      const number = Number(registers.get('orig_rax'));
      const site = { syscall: syscall as Addr, number, interrupted: ERESTARTSYS, limit: null, returnOffset: 0 };
      const target = { pid: tid, arch: hostArch(), sites: { waits: [site], exit: 0 as Addr } };
      const stacks = new Map([[tid, { lo: 0 as Addr, hi: Number(registers.sp) as Addr }]]);
      cloner ??= new Cloner({ target, stacks, namespaceTid: (own) => own, liveTid: tid, call: SYS_GETPID });
      if (cloner.isAble(thread)) cloner.clone([thread]);
      late(thread);
    });
  } finally {
    (cloner as Cloner | null)?.close();
  }
}
