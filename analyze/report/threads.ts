import { MemoryFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { M } from '../runtime/machine.js';
import type { ThreadReport } from './model.js';
import { Places } from './places.js';

/** All threads of the process, those of Ms in the order of their ids first, then those that the runtime does not know. */
export function listThreads(program: GoProgram): ThreadReport[] {
  const places = new Places(program);
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
      frames: stack === null ? [] : places.frames(stack.frames),
      truncated: stack === null ? 'its registers are not known' : stack.truncated,
    });
  }
  for (const { tid, name, state } of program.image.threads) {
    if (known.has(tid)) continue;
    const truncated = 'no M of the Go runtime runs on it';
    out.push({ m: null, tid, name, state, goid: null, frames: [], truncated });
  }
  return out;
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
