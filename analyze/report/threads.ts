import { hex } from '../../snapshots/address.js';
import type { Thread } from '../../snapshots/image.js';
import { onFault } from '../../snapshots/memory.js';
import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import { answer, type Answer } from './answer.js';
import type { Frame, ThreadReport } from './model.js';
import { LocationResolver, STACK_READS } from './locations.js';

export const threadsAnalysis: Analysis = {
  name: 'threads',
  reads: [STACK_READS],
  answer: listThreads,
};

/** All threads of the process: first those of Ms by the id of the M, then those that the runtime does not know. */
export function listThreads(program: GoProgram): Answer<ThreadReport[]> {
  const locations = new LocationResolver(program);
  const ofMachines = [...program.machines]
    .sort((a, b) => a.id - b.id)
    .flatMap((m) => {
      const thread = program.threadOf(m);
      return thread === null ? [] : [describeThread(program, locations, m, thread)];
    });
  const known = new Set(ofMachines.map(({ tid }) => tid));
  const others = program.image.threads.filter(({ tid }) => !known.has(tid));
  return answer(program, [...ofMachines, ...others.map(describeOther)]);
}

function describeThread(program: GoProgram, locations: LocationResolver, m: M, thread: Thread): ThreadReport {
  const { tid, name, state } = thread;
  const stack = program.threadStackOf(m);
  return {
    ...{ m: m.id, tid, name, state, goid: goidOf(program, m) },
    frames: [...nativeFrames(thread), ...(stack === null ? [] : locations.frames(stack.frames))],
    truncated: stack === null ? 'its registers are not known' : stack.truncated,
  };
}

/** A thread that no M runs on. */
function describeOther(thread: Thread): ThreadReport {
  const { tid, name, state } = thread;
  const truncated = 'no M of the Go runtime runs on it';
  return { m: null, tid, name, state, goid: null, frames: nativeFrames(thread), truncated };
}

/** The C function that a thread is in. Only the innermost frame: nothing says where its caller's frame is. */
function nativeFrames({ native, registers }: Thread): Frame[] {
  if (native === undefined || registers === null) return [];
  const sp = hex(Number(registers.sp));
  return [{ func: native.name, file: native.file, line: 0, pc: hex(Number(registers.pc)), sp, fp: sp, inlined: false }];
}

function goidOf(program: GoProgram, { curg }: M): number | null {
  if (curg === 0) return null;
  return onFault(
    () => program.goroutineReader.read(curg).goid,
    () => null,
  );
}
