import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import { readGoroutine } from './memory-ranges.js';
import { runtimeFunctions } from './runtime-functions.js';

/**
 * A place where a thread can be made to do a system call without harm to what it was doing: in one of the two functions in
 * which the runtime's own threads wait. After the SYSCALL instruction they look at no register but the result, and every
 * caller takes that for a spurious wake-up (sys_linux_amd64.s and os_linux.go, 1.12 to 1.27).
 */
export interface InjectionSite {
  /** Address of the SYSCALL instruction. The pc of a waiting thread is right after it. */
  readonly syscall: Addr;
  /** The number of the system call that the thread waits in. */
  readonly number: number;
  /** The result that the kernel leaves when that wait is interrupted and can simply be started again. */
  readonly interrupted: number;
  /** Which argument is a time limit, if the wait can be started again only where it has none; else null. */
  readonly limit: number | null;
  /** Offset of the return address from the stack pointer at the SYSCALL instruction. */
  readonly returnOffset: number;
}

/** The places in a program where system calls can be injected. */
export interface InjectionSites {
  readonly waits: readonly InjectionSite[];
  /** Entry of runtime.exit, which ends the process with the status at 8(SP) and never returns. */
  readonly exit: Addr;
}

/** A function of the runtime in which threads wait. */
interface Known {
  readonly name: string;
  /** Its code from the SYSCALL instruction to the RET, in each form that some release has. */
  readonly tails: readonly Buffer[];
  readonly number: number;
  readonly interrupted: number;
  readonly limit: number | null;
  readonly returnOffset: number;
}

const ERESTARTSYS = -512;
const ERESTART_RESTARTBLOCK = -516;
const SYSCALL_BYTES = 2;
const FUNCTION_BYTES = 96;

const KNOWN: readonly Known[] = [
  // Idle Ms wait here without a time limit. A wait with a limit would start from zero again and last too long.
  {
    ...{ name: 'futex', number: 202, interrupted: ERESTARTSYS, limit: 3, returnOffset: 0 },
    // SYSCALL; MOVL AX, ret+40(FP); RET
    tails: [Buffer.from('0f0589442430c3', 'hex')],
  },
  // sysmon waits here, for ten milliseconds at most.
  {
    ...{ name: 'usleep', number: 35, interrupted: ERESTART_RESTARTBLOCK, limit: null, returnOffset: 24 },
    // SYSCALL; ADDQ $16, SP; POPQ BP; RET (1.21+); before: SYSCALL; MOVQ 16(SP), BP; ADDQ $24, SP; RET
    tails: [Buffer.from('0f054883c4105dc3', 'hex'), Buffer.from('0f05488b6c24104883c418c3', 'hex')],
  },
];

/** MOVL code+0(FP), DI; MOVL $SYS_exit_group, AX; SYSCALL */
const EXIT = Buffer.from('8b7c2408b8e70000000f05', 'hex');

/** null if the code differs from that of every known release, or the CPU is not amd64. */
export function injectionSites(program: GoRuntime): InjectionSites | null {
  const [runtime] = program.code.modules;
  if (program.image.arch !== 'amd64' || runtime === undefined) return null;
  const { memory } = program;
  const functions = runtimeFunctions(memory, runtime, ['exit', ...KNOWN.map(({ name }) => name)]);
  const exit = functions.get('exit')?.entry;
  if (exit === undefined || !codeAt(memory, exit, EXIT.length).equals(EXIT)) return null;
  const waits = KNOWN.flatMap((known) => {
    const entry = functions.get(known.name)?.entry;
    return entry === undefined ? [] : siteIn(memory, entry, known);
  });
  return waits.length === 0 ? null : { waits, exit };
}

function siteIn(memory: Memory, entry: Addr, { tails, ...known }: Known): InjectionSite[] {
  const code = codeAt(memory, entry, FUNCTION_BYTES);
  const at = tails.map((tail) => code.indexOf(tail)).find((index) => index >= 0);
  if (at === undefined) return [];
  const { number, interrupted, limit, returnOffset } = known;
  return [{ syscall: plus(entry, at), number, interrupted, limit, returnOffset }];
}

/** The pc of a thread that waits at a site. */
export function waitingPc({ syscall }: InjectionSite): number {
  return syscall + SYSCALL_BYTES;
}

/** The system stack of each thread, by its id in the process's own pid namespace. */
export function systemStacks(program: GoRuntime): ReadonlyMap<number, Range> {
  const out = new Map<number, Range>();
  for (const m of program.machines) {
    const g0 = m.g0 === 0 || m.procid === 0 ? null : readGoroutine(program, m.g0);
    if (g0 !== null && g0.stack.lo !== 0) out.set(m.procid, g0.stack);
  }
  return out;
}

/** Empty if it is not all in the image. */
function codeAt(memory: Memory, entry: Addr, length: number): Buffer {
  return onFault(
    () => Buffer.from(memory.bytes(entry, length)),
    () => Buffer.alloc(0),
  );
}
