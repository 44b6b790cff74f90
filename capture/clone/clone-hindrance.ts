import { injectionSites, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import { lengthOfAllgs, type GoProgram, type Programs } from '../../analyze/program.js';
import { modelCopyMs, modelForkMs } from '../pause-estimate.js';
import { commitLeft, harmToAll, memoryLeft } from '../process/memory-left.js';
import { readStatus, type ProcessStatus } from '../process/procfs.js';
import { tasksLeft } from '../process/tasks-left.js';
import { USUAL_THREAD_MS } from '../ptrace/thread-cost.js';

/** A clone is still worth it if it takes longer than a stop by no more than this, a factor and a time: the models are no better. */
const WORTH = 1.25;
const WORTH_MS = 2;

/** A process may need so many threads while its clone lives. */
const FEW_TASKS = 32;

/** Why a process should not be cloned, found without touching it; null if nothing speaks against it. */
export function cloneHindrance(pid: number, programs: Programs): string | null {
  const status = readStatus(pid);
  return riskOf(status, programs) ?? notWorthIt(status, programs);
}

/** Why no clone can be made, or none without a risk; null if nothing speaks against it. */
export function cannotClone(pid: number, programs: Programs): string | null {
  return riskOf(readStatus(pid), programs);
}

function riskOf(status: ProcessStatus, programs: Programs): string | null {
  const { pid, seccomp } = status;
  const { arch } = programs[0].image;
  if (arch !== 'amd64') return `it is not done on ${arch} yet`;
  if (seccomp !== 0)
    return 'it runs under a seccomp filter, which may end it for a system call that it does not expect';
  if (findSites(programs) === null) return 'the functions in which its threads wait are not those of a known release';
  return noRoom(status) ?? noCommit(status) ?? noTask(pid);
}

/** Where the kernel counts what is mapped, a clone counts as much as the process, and Go ends a program that may map no more. */
function noCommit({ dataBytes }: ProcessStatus): string | null {
  const left = commitLeft();
  if (left === null || left >= 2 * dataBytes) return null;
  return (
    `this machine promises no more memory than it has (vm.overcommit_memory is 2) and has ${inMB(left)} left: the ` +
    `${inMB(dataBytes)} of the process would be counted twice`
  );
}

/** Go ends a program that may start no thread (newosproc in runtime/os_linux.go, all releases): a clone is one task more. */
function noTask(pid: number): string | null {
  const left = tasksLeft(pid);
  if (left >= FEW_TASKS) return null;
  return (
    `the limits that it runs under leave it ${left} more threads or processes, of which the clone would be one: ` +
    'Go ends a program that needs a thread and may start none'
  );
}

/** What a process writes while its clone lives is copied, all of it at most. */
function noRoom({ pid, residentBytes }: ProcessStatus): string | null {
  const left = memoryLeft(pid);
  const harm = left === null ? null : harmToAll(left, residentBytes);
  if (left === null || harm === null) return null;
  return (
    `the memory limit of its container leaves ${inMB(left.bytes)}, of its ${inMB(residentBytes)} those that it ` +
    `writes would be there twice, and once nothing is left, the kernel ${harm}`
  );
}

function notWorthIt({ residentBytes, threadCount }: ProcessStatus, programs: Programs): string | null {
  const goroutines = lengthOfAllgs(programs);
  const mappings = programs[0].image.mappings.length;
  const [fork, copy] = [modelForkMs(mappings, residentBytes), modelCopyMs(threadCount, goroutines)];
  const stopping = threadCount * USUAL_THREAD_MS;
  if (stopping + fork <= WORTH * (stopping + copy) + WORTH_MS) return null;
  return (
    `a stop is shorter here: it takes about ${copy.toFixed(1)} ms to copy what matters, and ${fork.toFixed(1)} ms ` +
    `to fork its ${inMB(residentBytes)} in ${mappings} mappings`
  );
}

/** Why a clone takes longer than a process may stand still, in milliseconds; null if it does not. */
export function overBudget(pid: number, [{ image }]: Programs, budgetMs = Infinity): string | null {
  const { residentBytes, threadCount } = readStatus(pid);
  const takesMs = threadCount * USUAL_THREAD_MS + modelForkMs(image.mappings.length, residentBytes);
  if (takesMs <= budgetMs) return null;
  return `a clone would take about ${takesMs.toFixed(1)} ms, more than the budget of ${budgetMs} ms`;
}

/** The first program whose idle threads wait where a system call can be injected, and where; null if there is none. */
export function findSites(programs: Programs): { readonly program: GoProgram; readonly sites: InjectionSites } | null {
  for (const program of programs) {
    const sites = injectionSites(program);
    if (sites !== null) return { program, sites };
  }
  return null;
}

function inMB(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MB`;
}
