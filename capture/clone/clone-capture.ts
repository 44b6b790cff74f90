import { injectionSites, systemStacks, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import type { GoProgram } from '../../analyze/program.js';
import { standing } from '../../analyze/runtime/memory-ranges.js';
import { Memory } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import { Cloner, collectLeftovers, endClone, hold, type Clone } from './clone.js';
import { Copy } from '../copy/copy.js';
import { collectGarbage } from '../ptrace/garbage.js';
import { makePlan, type Survey } from '../copy/plan.js';
import { predictedCloneMs, predictedStopMs } from '../copy/predict.js';
import type { LiveProcess } from '../process/live-process.js';
import { ProcessMemory } from '../process/process-memory.js';
import { readStatus } from '../process/procfs.js';
import { warmUpClone } from './warm-up.js';
import { RunReader } from '../process/run-reader.js';
import { withStopped } from '../ptrace/stop.js';
import { factsOf, joinThreads, moment, type Copied } from '../copy/capture-metadata.js';
import { MemoryPort } from '../process/memory-port.js';

/** Why there is no clone, and for how long the process stood still to find that out. */
export interface CloneRefused {
  readonly reason: string;
  readonly pauseNs: number;
}

/** A clone that takes longer than a stop by no more than this is worth it, in milliseconds. */
const WORTH_MS = 1;

/** Why a process is not to be cloned, told without touching it; null where nothing speaks against it. */
export function cloneHindrance(pid: number, program: GoProgram): string | null {
  const { seccomp, residentBytes } = readStatus(pid);
  if (program.image.arch !== 'amd64') return `it is not done on ${program.image.arch} yet`;
  if (seccomp !== 0)
    return 'it runs under a seccomp filter, which may end it for a system call that it does not expect';
  if (injectionSites(program) === null)
    return 'the functions in which its threads wait are not those of a known release';
  const goroutines = program.memory.word(program.globals.allgs, 8);
  const [clone, stop] = [predictedCloneMs(residentBytes), predictedStopMs(goroutines)];
  if (clone <= stop + WORTH_MS) return null;
  return `a fork of its ${(residentBytes / 2 ** 20).toFixed(0)} MB would take about ${clone.toFixed(1)} ms, and a stop ${stop.toFixed(1)} ms`;
}

/** Clones the process, lets it go, and copies the clone at leisure. Gives up before that once `signal` is aborted. */
export async function copyClone(
  target: LiveProcess,
  surveyed: Survey,
  signal?: AbortSignal,
): Promise<Copied | CloneRefused> {
  const { program } = surveyed;
  const hindrance = cloneHindrance(target.pid, program);
  const sites = hindrance === null ? injectionSites(program) : null;
  if (sites === null) return { reason: hindrance ?? 'its threads wait nowhere that is known', pauseNs: 0 };
  collectLeftovers(program, sites);
  await warmUpClone();
  signal?.throwIfAborted();
  const before = target.threads();
  const nested = new Map(before.map((thread) => [thread.tid, thread.namespaceTid]));
  const { stop, at } = cloneInStop(target, program, sites, nested);
  const clone = stop.value;
  if (typeof clone === 'string') return { reason: clone, pauseNs: stop.pauseNs };
  let collected = false;
  let copy: Copy;
  try {
    hold(clone);
    copy = copyOf(clone, target, surveyed, (tid) => nested.get(tid) ?? tid, stop.threads);
  } finally {
    collected = endClone(clone);
  }
  const { warnings, ...facts } = factsOf(stop);
  const left = collected ? [] : [{ code: 'clone-not-collected', message: NOT_COLLECTED }];
  const threads = joinThreads(before, stop.threads, target);
  return { copy, taken: { threads, facts: { ...at, ...facts, warnings: [...warnings, ...left] } }, mode: 'clone' };
}

const NOT_COLLECTED =
  'no thread of the process was free to collect the ended clone: a zombie is left, which the next capture with --mode clone collects';

type Cloned = ReturnType<typeof withStopped<Clone | string>>;

function cloneInStop(
  target: LiveProcess,
  program: GoProgram,
  sites: InjectionSites,
  nested: ReadonlyMap<number, number>,
): { stop: Cloned; at: ReturnType<typeof moment> } {
  const { pid, arch } = target;
  const cloner = new Cloner({ pid, arch, sites }, systemStacks(program), target.liveTid);
  try {
    collectGarbage();
    const at = moment();
    const stop = withStopped(pid, { arch }, (threads) => {
      target.assertSameProgram();
      return cloner.clone(threads, nested);
    });
    return { stop, at };
  } finally {
    cloner.close();
  }
}

function copyOf(
  clone: Clone,
  target: LiveProcess,
  surveyed: Survey,
  namespaceTid: (tid: number) => number,
  threads: Cloned['threads'],
): Copy {
  const port = new MemoryPort(clone.pid, clone.pid);
  try {
    const source = {
      memory: (): Memory => new Memory(new ProcessMemory(port, target.mappings)),
      reader: (runs: Runs): RunReader => new RunReader(port, runs),
    };
    const copy = new Copy(makePlan(surveyed, source.memory()), source);
    copy.readAhead();
    copy.readStopped(
      threads.flatMap(({ tid, registers }) => (registers === null ? [] : [standing(namespaceTid(tid), registers)])),
    );
    return copy;
  } finally {
    port.close();
  }
}
