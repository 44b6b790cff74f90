import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import { runtimeFunctions } from './locate-modules.js';
import { readable } from './extents.js';

/**
 * Where a thread of the program can be made to do one system call without harm to what it was doing: runtime.futex, in
 * which idle threads wait. Behind its SYSCALL instruction it stores EAX and returns; no other register is looked at, and
 * a result that no wait has is taken for a spurious wake-up (sys_linux_amd64.s and os_linux.go, 1.12 to 1.27).
 */
export interface InjectionSite {
  /** The SYSCALL instruction: a thread that waits stands right behind it. */
  readonly syscall: Addr;
  /** Entry of runtime.exit, which ends the process with the status at 8(SP) and returns to nobody. */
  readonly exit: Addr;
}

/** SYSCALL; MOVL AX, ret+40(FP); RET */
const FUTEX_TAIL = Buffer.from('0f0589442430c3', 'hex');
/** MOVL code+0(FP), DI; MOVL $SYS_exit_group, AX; SYSCALL */
const EXIT = Buffer.from('8b7c2408b8e70000000f05', 'hex');
const SYSCALL_BYTES = 2;
const FUTEX_BYTES = 64;

/** null where the code is not what it was in every release that is known, or the CPU is another than amd64. */
export function injectionSite(program: GoProgram): InjectionSite | null {
  const [runtime] = program.code.modules;
  if (program.image.arch !== 'amd64' || runtime === undefined) return null;
  const { memory } = program;
  const functions = runtimeFunctions(memory, runtime, ['futex', 'exit']);
  const futex = functions.get('futex')?.entry;
  const exit = functions.get('exit')?.entry;
  if (futex === undefined || exit === undefined) return null;
  const at = codeAt(memory, futex, FUTEX_BYTES).indexOf(FUTEX_TAIL);
  if (at < 0 || !codeAt(memory, exit, EXIT.length).equals(EXIT)) return null;
  return { syscall: plus(futex, at), exit };
}

/** Where a thread stands that waits in runtime.futex. */
export function waitingPc({ syscall }: InjectionSite): number {
  return syscall + SYSCALL_BYTES;
}

/** The lowest address of the system stack of each thread, by its id in the process's own pid namespace. */
export function systemStacks(program: GoProgram): ReadonlyMap<number, Addr> {
  const out = new Map<number, Addr>();
  for (const m of program.machines) {
    const g0 = m.g0 === 0 || m.procid === 0 ? null : readable(program, m.g0);
    if (g0 !== null && g0.stack.lo !== 0) out.set(m.procid, g0.stack.lo);
  }
  return out;
}

function codeAt(memory: Memory, entry: Addr, length: number): Buffer {
  try {
    return Buffer.from(memory.bytes(entry, length));
  } catch (error) {
    if (error instanceof MemoryFault) return Buffer.alloc(0);
    throw error;
  }
}
