import { waitingPc, type InjectionSite, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';
import { sleep } from '../ptrace/sleep.js';
import {
  GONE,
  RegisterSlots,
  RUNNING,
  TRACE_CLONE,
  TRACE_SYSCALL_GOOD,
  continueToSyscall,
  eventMessage,
  isTrap,
  pollStatus,
  setOptions,
  setRegisters,
} from '../ptrace/ptrace.js';
import type { StoppedThread } from '../ptrace/tracees.js';

/** What a call leaves that a signal came before: it would be made again. */
const ERESTARTNOINTR = -513;
/** SIGTRAP with the bit that TRACE_SYSCALL_GOOD adds: no signal of that number exists, should gospy die at this stop. */
const SYSCALL_STOP = 0x85;
const EVENT_CLONE = 0x305;
/** Looks before the CPU is left to the thread. */
const SPINS = 20;

/** A system call by number, with its first arguments. */
export interface SystemCall {
  readonly number: number;
  readonly args: readonly number[];
}

/** What came of an injected call. */
export type Injected =
  /** It returned; `child` is the thread or process that it made, as gospy sees its id. */
  | { readonly kind: 'returned'; readonly value: number; readonly child: number | null }
  /** A signal came first: the thread is as it was, and can be used no more in this stop. */
  | { readonly kind: 'interrupted' }
  /** The thread has ended. */
  | { readonly kind: 'gone' };

/** A stopped thread in whose name a system call can be made. */
export interface Usable {
  readonly thread: StoppedThread;
  readonly registers: Registers;
  readonly site: InjectionSite;
}

/** A thread that stands behind a wait of the runtime's that can be begun anew; null for any other. */
export function usable(thread: StoppedThread, { waits }: InjectionSites): Usable | null {
  const { registers } = thread;
  if (registers === null) return null;
  const pc = Number(registers.pc);
  const site = waits.find((wait) => waitingPc(wait) === pc);
  if (site === undefined || registers.get('orig_rax') !== BigInt(site.number)) return null;
  return BigInt.asIntN(64, registers.get('rax')) === BigInt(site.interrupted) ? { thread, registers, site } : null;
}

/**
 * Makes a stopped thread do one system call, and leaves it stopped, ready to make its interrupted wait again. At whatever instant gospy dies, the kernel lets the thread go: it then does the call or
 * does not, and returns from its wait a little early, which the Go runtime expects of any wait.
 */
export function inject({ thread, registers, site }: Usable, call: SystemCall): Injected {
  const { tid } = thread;
  const [a = 0, b = 0, c = 0, d = 0] = call.args;
  // A call that is none cannot be restarted: whatever signal comes, the kernel leaves these registers alone.
  const own = { orig_rax: -1n, rip: BigInt(site.syscall) };
  const asked = registers.with({
    ...{ ...own, rax: BigInt(call.number), rdi: BigInt(a), rsi: BigInt(b), rdx: BigInt(c), r10: BigInt(d) },
  });
  const again = registers.with({ ...own, rax: BigInt(site.number) });
  if (!setOptions(tid, TRACE_SYSCALL_GOOD | TRACE_CLONE) || !setRegisters(tid, asked)) return { kind: 'gone' };
  const outcome = follow(thread);
  return setRegisters(tid, again) ? outcome : { kind: 'gone' };
}

/** From the thread's stop to the end of its call. */
function follow(thread: StoppedThread): Injected {
  const { tid } = thread;
  let entered = false;
  let child: number | null = null;
  while (continueToSyscall(tid)) {
    const status = awaitStop(tid);
    if (status === SYSCALL_STOP && !entered) {
      entered = true;
    } else if (status === SYSCALL_STOP) {
      const value = resultOf(tid);
      if (value === null) break;
      return value === ERESTARTNOINTR ? { kind: 'interrupted' } : { kind: 'returned', value, child };
    } else if (status === EVENT_CLONE) {
      child = eventMessage(tid);
    } else if (isTrap(status)) {
      return { kind: 'interrupted' };
    } else if (status === GONE) {
      break;
    } else {
      thread.hold(status % 256);
      return { kind: 'interrupted' };
    }
  }
  return { kind: 'gone' };
}

/** The status of the thread's next stop, or {@link GONE}. */
export function awaitStop(tid: number): number {
  for (let looks = 0; ; looks++) {
    const status = pollStatus(tid);
    if (status !== RUNNING) return status;
    if (looks >= SPINS) sleep();
  }
}

let slot: RegisterSlots | null = null;

function resultOf(tid: number): number | null {
  slot ??= new RegisterSlots(1, registerSetSize('amd64'));
  if (!slot.read(tid, 0)) return null;
  return Number(BigInt.asIntN(64, new Registers('amd64', slot.bytes(0)).get('rax')));
}
