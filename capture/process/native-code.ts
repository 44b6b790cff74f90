import type { Mapping, Thread } from '../../snapshots/image.js';
import { onFault } from '../../snapshots/memory.js';
import { MappedFiles } from './mapped-files.js';

/**
 * Adds to threads the C function that each is in, from the symbol table of the mapped file, which only this machine has. A
 * thread in Go code (see `isGo`, which may throw MemoryFault) gets none, nor does one whose file cannot be read or has no
 * symbol there. `mappings` must be ascending.
 */
export function withNativeFunctions(
  threads: readonly Thread[],
  pid: number,
  mappings: readonly Mapping[],
  isGo: (pc: number) => boolean,
): Thread[] {
  const files = new MappedFiles(pid, mappings);
  try {
    return threads.map((thread) => {
      const pc = thread.registers === null ? 0 : Number(thread.registers.pc);
      const mayBeGo = onFault(
        () => isGo(pc),
        () => true,
      );
      const native = mayBeGo ? null : files.functionAt(pc);
      return native === null ? thread : { ...thread, native };
    });
  } finally {
    files.close();
  }
}
