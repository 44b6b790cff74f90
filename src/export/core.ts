import type { GoProgram } from '../../analyze/program.js';
import { checkOutput } from '../../snapshots/atomic-file.js';
import { writeCore } from '../../snapshots/elf/core-write.js';

/** An ELF core that was written. */
export interface CoreExport {
  readonly bytesWritten: number;
  readonly threads: number;
  /** Path of the executable that debuggers open the core with. */
  readonly executable: string;
}

/** Writes the program's process as an ELF core, replacing `path` in one step. Throws `badFile` where it cannot be written. */
export async function exportCore({ image }: GoProgram, path: string): Promise<CoreExport> {
  checkOutput(path);
  const { bytesWritten } = await writeCore(path, image);
  return { bytesWritten, threads: image.threads.length, executable: image.executable.path };
}
