import { waitingPc, type InjectionSite, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';
import { sleep } from '../process/sleep.js';
import {
  CLONED,
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
  signalOf,
} from '../ptrace/ptrace.js';
import type { StoppedThread } from '../ptrace/tracee.js';

/** Result of a call that a signal interrupted before it ran; the kernel would restart it. */
const ERESTARTNOINTR = -513;
/** SIGTRAP and the bit of TRACE_SYSCALL_GOOD. No signal has that number, so none is delivered if gospy dies at this stop. */
const SYSCALL_STOP = 0x85;
/** Looks at the thread before gospy leaves the CPU to it. */
const SPINS = 20;

/** A system call by its number, with its first arguments. */
export interface SystemCall {
  readonly number: number;
  readonly args: readonly number[];
}

/** What became of an injected call. */
export type Injected =
  /** It returned. `child` is the process that it made, by its id in gospy's pid namespace. */
  | { readonly kind: 'returned'; readonly value: number; readonly child: number | null }
  /** A signal came first. The thread is as it was, but cannot be used again in this stop. */
  | { readonly kind: 'interrupted' }
  /** The thread has ended. */
  | { readonly kind: 'gone' };

/** A stopped thread that can be made to do a system call. */
export interface InjectableThread {
  readonly thread: StoppedThread;
  readonly registers: Registers;
  readonly site: InjectionSite;
}

/** The thread with its site, if it is in one of the runtime's waits and that wait can be started again; else null. */
export function asInjectable(thread: StoppedThread, { waits }: InjectionSites): InjectableThread | null {
  const { registers } = thread;
  if (registers === null) return null;
  const pc = Number(registers.pc);
  const site = waits.find((wait) => waitingPc(wait) === pc);
  if (site === undefined || registers.get('orig_rax') !== BigInt(site.number)) return null;
  return BigInt.asIntN(64, registers.get('rax')) === BigInt(site.interrupted) ? { thread, registers, site } : null;
}

/**
 * Makes a stopped thread do one system call. Leaves it stopped, ready to make its interrupted wait again. If gospy dies, at
 * whatever instant, the kernel lets the thread go: it then does the call or does not, and returns from its wait a little
 * early, which the Go runtime expects of any wait.
 */
export function inject({ thread, registers, site }: InjectableThread, call: SystemCall): Injected {
  const { tid } = thread;
  const [a = 0, b = 0, c = 0, d = 0] = call.args;
  // With orig_rax -1 there is no call to restart: whatever signal comes, the kernel leaves these registers alone.
  const own = { orig_rax: -1n, rip: BigInt(site.syscall) };
  const calling = registers.with({
    ...{ ...own, rax: BigInt(call.number), rdi: BigInt(a), rsi: BigInt(b), rdx: BigInt(c), r10: BigInt(d) },
  });
  const waitingAgain = registers.with({ ...own, rax: BigInt(site.number) });
  if (!setOptions(tid, TRACE_SYSCALL_GOOD | TRACE_CLONE) || !setRegisters(tid, calling)) return { kind: 'gone' };
  const outcome = followCall(thread);
  return setRegisters(tid, waitingAgain) ? outcome : { kind: 'gone' };
}

/** Lets the thread run from its stop to the end of its call. */
function followCall(thread: StoppedThread): Injected {
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
    } else if (status === CLONED) {
      child = eventMessage(tid);
    } else if (isTrap(status)) {
      return { kind: 'interrupted' };
    } else if (status === GONE) {
      break;
    } else {
      thread.holdSignal(signalOf(status));
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

/** The result of the system call that a thread has just made; null if it is not stopped any more. */
function resultOf(tid: number): number | null {
  slot ??= new RegisterSlots(1, registerSetSize('amd64'));
  if (!slot.read(tid, 0)) return null;
  return Number(BigInt.asIntN(64, new Registers('amd64', slot.bytes(0)).get('rax')));
}
