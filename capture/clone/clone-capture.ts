import { systemStacks, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import type { GoProgram, Programs } from '../../analyze/program.js';
import { positionsOf } from '../../analyze/runtime/memory-ranges.js';
import type { Mapping, Thread } from '../../snapshots/image.js';
import { LayeredSource, Memory, type Segment } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import { describeStop, joinThreads, type CapturedCopies } from '../copy/capture-metadata.js';
import { Copies } from '../copy/copies.js';
import { copyMachines } from '../copy/machine-list.js';
import { makePlans, type Survey } from '../copy/plan.js';
import type { Packing } from '../copy/stored-stacks.js';
import type { Pinned } from '../libc.js';
import type { Clocks } from '../process/clocks.js';
import type { LiveProcess } from '../process/live-process.js';
import { MemoryPort } from '../process/memory-port.js';
import { ProcessMemory } from '../process/process-memory.js';
import { isAlive, readMappings } from '../process/procfs.js';
import { RunReader } from '../process/run-reader.js';
import type { Slab } from '../process/slab.js';
import { SparseReader } from '../process/sparse-reader.js';
import { collectGarbage } from '../ptrace/garbage.js';
import { optimizeEarly, optimizeLate } from '../ptrace/optimize.js';
import { withStopped, type Stop } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracee.js';
import { Cloner, collectLeftovers, endClone, tieToGospy, type Clone } from './clone.js';
import { cannotClone, cloneHindrance, findSites, overBudget } from './clone-hindrance.js';
import { LateThreads } from './late-threads.js';
import { warmUpClone } from './warm-up.js';

/** Why there is no clone, and how long the process stood still to find that out. */
export interface CloneRefused {
  readonly reason: string;
  readonly pauseNs: number;
  /** True if another try would end in the same way. */
  readonly isLasting: boolean;
}

/** Threads of which one is to make the clone. */
const MAX_FIRST = 3;

/** How a clone is copied. */
export interface CloneOptions {
  readonly packing: Packing;
  readonly signal?: AbortSignal | undefined;
  /** How long the process may stand still, in milliseconds. */
  readonly budgetMs?: number | undefined;
  /** Looks into the frozen process for as long as it likes, before the clone is ended. */
  readonly inspect: (frozen: FrozenPrograms) => Promise<void>;
  /** A process that a stop would hold up for less is cloned too: no stop lasts as long as what is done in `inspect`. */
  readonly mayBeLarge: boolean;
}

interface ClonedProcess {
  readonly clone: Clone;
  readonly target: LiveProcess;
}

/** The Go programs of a clone. */
export interface FrozenPrograms {
  readonly programs: readonly GoProgram[];
  /** Innermost parts of the stacks of threads that stopped late, which the memory of the clone may lack. */
  readonly lateStacks: readonly Segment[];
}

/** Clones the process, lets it go, and copies the clone at leisure. Gives up before the clone once `signal` is aborted. */
export async function copyClone(
  target: LiveProcess,
  surveyed: Survey,
  { packing, signal, budgetMs, inspect, mayBeLarge }: CloneOptions,
): Promise<CapturedCopies | CloneRefused> {
  const { programs } = surveyed;
  const hindrance = mayBeLarge
    ? (cannotClone(target.pid, programs) ?? overBudget(target.pid, programs, budgetMs))
    : cloneHindrance(target.pid, programs);
  const found = hindrance === null ? findSites(programs) : null;
  if (found === null)
    return { reason: hindrance ?? 'its threads wait nowhere that is known', pauseNs: 0, isLasting: true };
  const { program, sites } = found;
  collectLeftovers(program, sites);
  optimizeEarly();
  const rehearsed = new LateThreads(target, (tid) => tid);
  await warmUpClone((thread) => rehearsed.add(thread));
  await target.quota?.awaitPeriod();
  signal?.throwIfAborted();
  const before = target.threads();
  const namespaceTids = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
  const lateThreads = new LateThreads(target, (tid) => namespaceTids.get(tid) ?? target.namespaceTid(tid));
  const { stop, at } = cloneInStop(target, program, sites, namespaceTids, lateThreads);
  optimizeLate();
  const clone = stop.value;
  const { pauseNs } = stop;
  if (typeof clone === 'string') return { reason: clone, pauseNs, isLasting: false };
  if (stop.isTorn) {
    endClone(clone);
    return { reason: 'a thread that was just being made ran meanwhile', pauseNs, isLasting: false };
  }
  let isCollected = false;
  let copies: Copies;
  const threads = joinThreads(before, stop.threads, target);
  const killed = { reason: 'the clone was killed, as the kernel does if memory runs out', pauseNs, isLasting: true };
  try {
    tieToGospy(clone);
    copies = await copyFrom({ clone, target }, surveyed, packing, lateThreads, stop.threads);
    await inspectClone({ clone, target }, programs, threads, (found) =>
      inspect({ programs: found, lateStacks: lateThreads.stacks }),
    );
    // What could not be read of it any more is just missing.
    if (!isAlive(clone.pid, clone.pid)) return killed;
  } catch (error) {
    if (isAlive(clone.pid, clone.pid)) throw error;
    return killed;
  } finally {
    isCollected = endClone(clone);
  }
  const { warnings, ...facts } = describeStop(stop);
  const left = isCollected ? [] : [{ code: 'clone-not-collected', message: NOT_COLLECTED }];
  return { copies, metadata: { threads, facts: { ...at, ...facts, warnings: [...warnings, ...left] } } };
}

const NOT_COLLECTED =
  'no thread of the process was free to collect the ended clone: a zombie is left, which the next capture with --mode clone collects';

function cloneInStop(
  target: LiveProcess,
  program: GoProgram,
  sites: InjectionSites,
  namespaceTids: ReadonlyMap<number, number>,
  lateThreads: LateThreads,
): { stop: Stop<Clone | string>; at: Clocks } {
  const { pid, arch } = target;
  // Those of now: a thread that has ended may have left its id, and its stack, to another.
  const memory = new Memory(new LayeredSource([copyMachines(program, target).source, target.memory().source]));
  const cloner = new Cloner({
    target: { pid, arch, sites },
    stacks: systemStacks(program.over({ memory })),
    namespaceTid: (tid) => namespaceTids.get(tid) ?? tid,
    liveTid: target.liveTid,
  });
  try {
    collectGarbage();
    const at = target.clocks();
    const first = {
      tids: [...cloner.findAble()].slice(0, MAX_FIRST),
      isReady: (thread: StoppedThread): boolean => cloner.isAble(thread),
    };
    const late = (thread: StoppedThread): void => lateThreads.add(thread);
    const stop = withStopped(pid, { arch, first, late, once: true, realTime: true }, (threads) => {
      target.assertSameProgram();
      return cloner.clone(threads);
    });
    return { stop, at };
  } finally {
    cloner.close();
  }
}

/**
 * Reads the memory of a clone. process_vm_readv pins the pages that it reads, and since Linux 5.19 the kernel first makes a copy
 * of a page that is shared with another process (gup_must_unshare in mm/internal.h): the clone would need as much memory as is
 * read of it, within the memory limit of the program. What is read through /proc/PID/mem stays shared.
 */
function portOf({ pid }: Clone): MemoryPort {
  return new MemoryPort(pid, pid, '/proc/PID/mem');
}

/** The memory of a clone, whose mappings stay as they are. Between its reads, gospy rests as for its process. */
function memoryOf(port: MemoryPort, mappings: readonly Mapping[], target: LiveProcess): Memory {
  const rest = (): number => target.rest();
  return new Memory(new ProcessMemory(port, mappings, () => mappings, rest));
}

/** Runs `inspect` on the programs of a clone, over its own memory. */
async function inspectClone(
  { clone, target }: ClonedProcess,
  programs: Programs,
  threads: readonly Thread[],
  inspect: (programs: readonly GoProgram[]) => Promise<void>,
): Promise<void> {
  const port = portOf(clone);
  try {
    const mappings = readMappings(clone.pid, clone.pid);
    const memory = memoryOf(port, mappings, target);
    await inspect(programs.map((program) => program.over({ memory, mappings, threads })));
  } finally {
    port.close();
  }
}

/**
 * Copies a clone; `threads` are those of the process when it was cloned, and `late` those of them that trapped later: if the
 * kernel was just starting a signal handler there, the clone lacks the frame that it made. Throws MemoryFault if its lists are
 * damaged.
 */
async function copyFrom(
  { clone, target }: ClonedProcess,
  surveyed: Survey,
  packing: Packing,
  late: LateThreads,
  threads: Stop<unknown>['threads'],
): Promise<Copies> {
  const port = portOf(clone);
  try {
    const mappings = readMappings(clone.pid, clone.pid);
    const memory = (): Memory => memoryOf(port, mappings, target);
    const source = {
      memory,
      reader: (runs: Runs, slab?: Slab): RunReader => new RunReader(port, runs, slab),
      sparseReader: (runs: Runs): SparseReader => new SparseReader(port, runs),
      readInto: (addr: number, into: Pinned, offset: number, length: number): number =>
        late.overlay(addr, into, offset, port.read(addr, into, offset, length)),
      bytesNow: (addr: number, length: number): Uint8Array | null => port.bytes(addr, length),
      rest: (): number => target.rest(),
    };
    const copies = new Copies(
      surveyed,
      makePlans(surveyed, { mappings, memory: memory(), reader: source.reader }),
      source,
    );
    await copies.prepare(packing);
    copies.readAhead();
    copies.readStopped(positionsOf(threads, ({ tid }) => late.namespaceTid(tid)));
    late.forEach((position) => copies.readThread(position));
    return copies;
  } finally {
    port.close();
  }
}
