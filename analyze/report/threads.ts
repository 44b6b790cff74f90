import { hex } from '../../snapshots/address.js';
import type { Thread } from '../../snapshots/image.js';
import { onFault } from '../../snapshots/memory.js';
import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import { answer, type Answer } from './answer.js';
import type { CallFrame, ThreadReport } from './model.js';
import { LocationResolver, STACK_READS } from './locations.js';

export const threadsAnalysis: Analysis = {
  name: 'threads',
  reads: [STACK_READS],
  answer: listThreads,
};

/**
 * All threads of the process: first those of Ms by the id of the M, then those that the runtime does not know. `all` are the
 * Go programs of the process, whose code a thread may be in.
 */
export function listThreads(program: GoProgram, all: readonly GoProgram[] = [program]): Answer<ThreadReport[]> {
  const others = all.filter((one) => one !== program);
  const locations = new LocationResolver(program);
  const ofMachines = [...program.machines]
    .sort((a, b) => a.id - b.id)
    .flatMap((m) => {
      const thread = program.threadOf(m);
      return thread === null ? [] : [describeThread(program, locations, m, thread, others)];
    });
  const known = new Set(ofMachines.map(({ tid }) => tid));
  const unknown = program.image.threads.filter(({ tid }) => !known.has(tid));
  return answer(program, [...ofMachines, ...unknown.map((thread) => describeOther(thread, others))]);
}

function describeThread(
  program: GoProgram,
  locations: LocationResolver,
  m: M,
  thread: Thread,
  others: readonly GoProgram[],
): ThreadReport {
  const { tid, name, state } = thread;
  const stack = program.threadStackOf(m);
  return {
    ...{ m: m.id, runtime: program.runtime.n, tid, name, state, goid: goidOf(program, m) },
    frames: [...foreignFrames(thread, others), ...(stack === null ? [] : locations.calls(stack.frames))],
    truncated: stack === null ? 'its registers are not known' : stack.truncated,
  };
}

/** A thread that no M runs on. */
function describeOther(thread: Thread, others: readonly GoProgram[]): ThreadReport {
  const { tid, name, state } = thread;
  const truncated = 'no M of the Go runtime runs on it';
  return { m: null, runtime: null, tid, name, state, goid: null, frames: foreignFrames(thread, others), truncated };
}

/**
 * The function of C, or of another Go program, that a thread is in. Only the innermost frame: nothing says here where its
 * caller's frame is.
 */
function foreignFrames({ native, registers }: Thread, others: readonly GoProgram[]): CallFrame[] {
  if (registers === null) return [];
  const [pc, sp] = [Number(registers.pc), hex(Number(registers.sp))];
  const at = { pc: hex(pc), sp, fp: sp, inlined: false, args: null, argsLive: '', argsPointers: '' };
  if (native !== undefined) return [{ func: native.name, file: native.file, line: 0, ...at }];
  for (const { index } of others) {
    const point = onFault(
      () => index.at(pc),
      () => null,
    );
    const [line] = point?.lines(true) ?? [];
    if (line === undefined) continue;
    return [{ func: index.symbolizer.printedName(line.name), file: line.file, line: line.line, ...at }];
  }
  return [];
}

function goidOf(program: GoProgram, { curg }: M): number | null {
  if (curg === 0) return null;
  return onFault(
    () => program.goroutineReader.read(curg).goid,
    () => null,
  );
}
