import { hex } from '../../snapshots/address.js';
import type { Thread } from '../../snapshots/image.js';
import { MemoryFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import type { Frame, ThreadReport } from './model.js';
import { LocationResolver } from './locations.js';

/** All threads of the process, those of Ms in the order of their ids first, then those that the runtime does not know. */
export function listThreads(program: GoProgram): ThreadReport[] {
  const places = new LocationResolver(program);
  const known = new Set<number>();
  const out: ThreadReport[] = [];
  for (const m of [...program.machines].sort((a, b) => a.id - b.id)) {
    const thread = program.threadOf(m);
    if (thread === null) continue;
    known.add(thread.tid);
    const stack = program.threadStackOf(m);
    out.push({
      m: m.id,
      tid: thread.tid,
      name: thread.name,
      state: thread.state,
      goid: goidOf(program, m),
      frames: [...nativeFrames(thread), ...(stack === null ? [] : places.frames(stack.frames))],
      truncated: stack === null ? 'its registers are not known' : stack.truncated,
    });
  }
  for (const thread of program.image.threads) {
    const { tid, name, state } = thread;
    if (known.has(tid)) continue;
    const truncated = 'no M of the Go runtime runs on it';
    out.push({ m: null, tid, name, state, goid: null, frames: nativeFrames(thread), truncated });
  }
  return out;
}

/** Where a thread stands in C code: the innermost frame only, whose caller nothing tells. */
function nativeFrames({ native, registers }: Thread): Frame[] {
  if (native === undefined || registers === null) return [];
  const sp = hex(Number(registers.sp));
  return [{ func: native.name, file: native.file, line: 0, pc: hex(Number(registers.pc)), sp, fp: sp, inlined: false }];
}

function goidOf(program: GoProgram, { curg }: M): number | null {
  if (curg === 0) return null;
  try {
    return program.goroutineReader.read(curg).goid;
  } catch (error) {
    if (error instanceof MemoryFault) return null;
    throw error;
  }
}
