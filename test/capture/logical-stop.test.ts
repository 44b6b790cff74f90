import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import tap, { test, type Test } from 'tap';
import { hostArch } from '../../capture/process/procfs.js';
import {
  CLONED,
  GONE,
  RUNNING,
  RegisterSlots,
  TRACE_CLONE,
  detach,
  eventMessage,
  interrupt,
  pollStatus,
  reap,
  seize,
  signalOf,
} from '../../capture/ptrace/ptrace.js';
import { enterRealTime } from '../../capture/ptrace/real-time.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';
import { Moment, type Line } from './moment.js';
import { buildC, isFree, sleep, until } from './targets.js';
import { FULL_SIZE } from '../support/full-size.js';
import { startLoad } from '../support/load.js';

/**
 * What the logical stop rests on, measured on the kernel itself with single ptrace requests: after PTRACE_INTERRUPT, no thread
 * executes another instruction of its own before it traps, however long that takes.
 */
const ROUNDS = FULL_SIZE ? 300 : 12;
/** Looks at the memory after the last INTERRUPT: 0 is at once. An interrupt takes some microseconds to reach another CPU. */
const DELAYS_US = [50, 100, 300];
/** What a copy takes. */
const COPY_US = 700;

/** More than there are CPUs: some are waiting for one when they are to trap. */
const THREADS = String(4 * availableParallelism());

const programs = buildC();
tap.teardown(() => programs.remove());
tap.setTimeout(1_800_000);

/** What one round saw of the threads that had not trapped when the memory was copied. */
interface Round {
  readonly late: number;
  /** Lines that changed while the memory was copied. */
  readonly movedInCopy: readonly Moved[];
  /** Lines that changed between the copy and the last trap. */
  readonly movedLater: readonly Moved[];
  /** The largest difference between the time on a CPU at the copy and at the trap. */
  readonly mostNs: number;
  /** True if, right after the copy, there was a thread that gospy does not trace. */
  readonly hasStranger: boolean;
}

interface Moved {
  readonly before: Line;
  readonly after: Line;
}

function spin(us: number): void {
  const until = performance.now() + us / 1000;
  while (performance.now() < until);
}

function tasks(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

function cpuNs(pid: number, tid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]);
  } catch {
    return NaN;
  }
}

const slots = new RegisterSlots(1, registerSetSize(hostArch()));

/** Lines that are not the same in two looks. */
function changes(from: readonly Line[], to: readonly Line[]): Moved[] {
  return from.flatMap((before, i) => {
    const after = to[i] ?? before;
    const isSame = before.count === after.count && before.handled === after.handled && before.written === after.written;
    return isSame ? [] : [{ before, after }];
  });
}

/** One stop by hand: memory is read after the last INTERRUPT, a copy later, and again whenever a thread traps. */
function round(
  moment: Moment,
  delayUs: number,
  onTrap: (registers: Registers, copied: readonly Line[]) => void,
): Round {
  const { pid } = moment;
  const seen = new Set<number>();
  const waiting = new Set<number>();
  const trapped = new Map<number, number>();
  const poll = (tid: number): boolean => {
    const status = pollStatus(tid);
    if (status === RUNNING) return false;
    waiting.delete(tid);
    if (status === GONE) {
      reap(tid);
      seen.delete(tid); // the id may be given to another
    } else trapped.set(tid, status);
    // A listing of threads may lack one while others end. It was born a tracee: it must be let go.
    const born = status === CLONED ? (eventMessage(tid) ?? 0) : 0;
    if (born !== 0 && !seen.has(born)) {
      seen.add(born);
      waiting.add(born);
    }
    return status !== GONE;
  };
  // A thread that was born a tracee cannot be seized: that it is one shows when it traps.
  const seizeNew = (): number[] => {
    const fresh = tasks(pid).filter((tid) => !seen.has(tid));
    for (const tid of fresh) {
      seen.add(tid);
      waiting.add(tid);
    }
    return fresh.filter((tid) => seize(tid, TRACE_CLONE) === 0);
  };
  const isStranger = (tid: number): boolean => !seen.has(tid) && pollStatus(tid) === GONE;
  const look = (): Line[] => (moment.read(), moment.lines());
  // As in a logical stop: a tracer that loses its CPU here has it back when all have trapped.
  const leaveRealTime = enterRealTime();
  try {
    for (let fresh = seizeNew(); fresh.length > 0; fresh = seizeNew()) for (const tid of fresh) interrupt(tid);
    spin(delayUs);
    const copied = look();
    spin(COPY_US);
    const copiedLast = look();
    for (const tid of [...waiting]) poll(tid);
    const late = waiting.size;
    const hasStranger = tasks(pid).some(isStranger);
    const onCpu = new Map([...waiting].map((tid) => [tid, cpuNs(pid, tid)]));
    let mostNs = 0;
    leaveRealTime();
    const deadline = performance.now() + 30_000;
    while (waiting.size > 0) {
      if (performance.now() > deadline) throw new Error(`threads ${[...waiting].join(', ')} do not trap`);
      for (const tid of [...waiting]) {
        if (!poll(tid)) continue;
        mostNs = Math.max(mostNs, cpuNs(pid, tid) - (onCpu.get(tid) ?? NaN) || 0);
        if (slots.read(tid, 0)) onTrap(new Registers(hostArch(), slots.bytes(0)), copied);
      }
      // Threads that were born of the last ones are tracees: they must be let go too.
      if (waiting.size === 0) seizeNew();
    }
    const [movedInCopy, movedLater] = [changes(copied, copiedLast), changes(copiedLast, look())];
    return { late, movedInCopy, movedLater, mostNs, hasStranger };
  } finally {
    leaveRealTime();
    for (const [tid, status] of trapped) detach(tid, signalOf(status));
  }
}

function movedIn({ movedInCopy, movedLater }: Round): Moved[] {
  return [...movedInCopy, ...movedLater];
}

/** Stops a process so many times. */
async function measure(
  t: Test,
  moment: Moment,
  onTrap: (registers: Registers, copied: readonly Line[]) => void = () => undefined,
): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rounds.push(round(moment, DELAYS_US[i % DELAYS_US.length] ?? 0, onTrap));
    await until(() => isFree(moment.pid));
    await sleep(Math.random() * 4);
  }
  const late = rounds.reduce((sum, one) => sum + one.late, 0);
  const most = Math.max(...rounds.map(({ mostNs }) => mostNs));
  t.comment(`${late} threads were looked at before they had trapped; on a CPU until then: ${most} ns at most`);
  t.ok(late > 0, `${late} late threads`);
  return rounds;
}

test('interrupt: a thread that counts executes nothing before it traps, and its registers are of that moment', async (t) => {
  const moment = await Moment.start(t, programs.moment, 'count', THREADS);
  const wrong: unknown[] = [];
  let seen = 0;
  const rounds = await measure(t, moment, (registers, copied) => {
    const counter = moment.counterOf(registers);
    if (counter === null) return;
    seen++;
    // A thread may stand between the instruction that counts and the one that writes.
    const ahead = counter.count - (copied[counter.line]?.count ?? NaN);
    if (ahead !== 0 && ahead !== 1) wrong.push({ counter, copied: copied[counter.line] });
  });
  t.same(rounds.flatMap(movedIn), []);
  t.same(wrong, []);
  t.ok(seen > 0);
});

test('interrupt: of a thread in a system call, only what the call itself writes changes', async (t) => {
  const moment = await Moment.start(t, programs.moment, 'read', THREADS);
  const moved = (await measure(t, moment)).flatMap(movedIn);
  t.same(
    moved.filter(({ before, after }) => before.count !== after.count),
    [],
    'no instruction of its own',
  );
  t.comment(`${moved.length} results of system calls were written meanwhile`);
});

test('interrupt: threads that are being created are born stopped, or known to be strangers', async (t) => {
  startLoad(t, 3 * availableParallelism());
  const moment = await Moment.start(t, programs.moment, 'create', THREADS);
  const rounds = await measure(t, moment);
  t.same(
    rounds.filter(({ hasStranger }) => !hasStranger).flatMap(({ movedInCopy }) => movedInCopy),
    [],
  );
  t.comment(`${rounds.filter(({ hasStranger }) => hasStranger).length} of ${rounds.length} rounds had strangers`);
});

test('interrupt: signals at 10,000 a second change nothing before the trap', async (t) => {
  const moment = await Moment.start(t, programs.moment, 'signal', THREADS, '10000');
  const before = (moment.read(), moment.lines());
  t.same((await measure(t, moment)).flatMap(movedIn), []);
  await until(() => {
    moment.read();
    return moment.lines().some(({ handled }, i) => handled > (before[i]?.handled ?? 0));
  });
});
