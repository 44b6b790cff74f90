import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import { runtimeFunctions } from './locate-modules.js';
import { readable } from './memory-ranges.js';

/**
 * Where a thread of the program can be made to do one system call without harm to what it was doing: in one of the two
 * functions in which the runtime's own threads wait. Behind the SYSCALL instruction no register is looked at, but for a
 * result that every caller takes for a spurious wake-up (sys_linux_amd64.s and os_linux.go, 1.12 to 1.27).
 */
export interface InjectionSite {
  /** Address of the SYSCALL instruction: a thread that waits stands right behind it. */
  readonly syscall: Addr;
  /** The system call that it waits in. */
  readonly number: number;
  /** What the kernel leaves as result where that wait is interrupted, and can as well be begun anew. */
  readonly interrupted: number;
  /** Where the return address lies, from the stack pointer at the SYSCALL instruction on. */
  readonly returnOffset: number;
}

/** What is known of a program in which system calls can be made in the name of a thread. */
export interface InjectionSites {
  readonly waits: readonly InjectionSite[];
  /** Entry of runtime.exit, which ends the process with the status at 8(SP) and returns to nobody. */
  readonly exit: Addr;
}

interface Known {
  readonly name: string;
  /** From the SYSCALL instruction to the RET. */
  readonly tails: readonly Buffer[];
  readonly number: number;
  readonly interrupted: number;
  readonly returnOffset: number;
}

const ERESTARTSYS = -512;
const ERESTART_RESTARTBLOCK = -516;
const SYSCALL_BYTES = 2;
const FUNCTION_BYTES = 96;

const KNOWN: readonly Known[] = [
  // Idle Ms, without a time limit: one with a limit would wait for all of it again.
  {
    ...{ name: 'futex', number: 202, interrupted: ERESTARTSYS, returnOffset: 0 },
    // SYSCALL; MOVL AX, ret+40(FP); RET
    tails: [Buffer.from('0f0589442430c3', 'hex')],
  },
  // sysmon, for ten milliseconds at most.
  {
    ...{ name: 'usleep', number: 35, interrupted: ERESTART_RESTARTBLOCK, returnOffset: 24 },
    // SYSCALL; ADDQ $16, SP; POPQ BP; RET (1.21+); before: SYSCALL; MOVQ 16(SP), BP; ADDQ $24, SP; RET
    tails: [Buffer.from('0f054883c4105dc3', 'hex'), Buffer.from('0f05488b6c24104883c418c3', 'hex')],
  },
];

/** MOVL code+0(FP), DI; MOVL $SYS_exit_group, AX; SYSCALL */
const EXIT = Buffer.from('8b7c2408b8e70000000f05', 'hex');

/** null where the code is not what it was in every release that is known, or the CPU is another than amd64. */
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

function siteIn(memory: Memory, entry: Addr, { tails, number, interrupted, returnOffset }: Known): InjectionSite[] {
  const code = codeAt(memory, entry, FUNCTION_BYTES);
  const at = tails.map((tail) => code.indexOf(tail)).find((index) => index >= 0);
  return at === undefined ? [] : [{ syscall: plus(entry, at), number, interrupted, returnOffset }];
}

/** Where a thread stands that waits. */
export function waitingPc({ syscall }: InjectionSite): number {
  return syscall + SYSCALL_BYTES;
}

/** The lowest address of the system stack of each thread, by its id in the process's own pid namespace. */
export function systemStacks(program: GoRuntime): ReadonlyMap<number, Addr> {
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
