import { openProgram } from '../../analyze/program.js';
import { hex } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';

/** The first places where the memory of a snapshot has the text `planted`, with what follows it, but for stacks. */
export function plantedIn(file: string): string[] {
  const { memory, mappings } = openSnapshot(file);
  const program = openProgram(openSnapshot(file));
  // Threads have stacks of their own for the runtime and for signals, in memory that others had before.
  const ofThreads = program.machines.flatMap(({ g0, gsignal }) => [...program.goroutinesAt([g0, gsignal])]);
  const stacks = [...program.goroutines(), ...ofThreads].map(({ stack }) => stack);
  const isOnStack = (at: number): boolean => stacks.some(({ lo, hi }) => at >= lo && at < hi);
  const found: string[] = [];
  // What the program cannot write is its file, which has the texts of its source.
  for (const { start, end } of mappings.filter(({ writable }) => writable)) {
    for (const { lo, hi } of memory.source.ranges(start, end)) {
      const bytes = Buffer.from(memory.bytes(lo, hi - lo));
      for (let at = bytes.indexOf('planted'); at >= 0; at = bytes.indexOf('planted', at + 1)) {
        const text = bytes.subarray(at, at + 32).toString('latin1');
        if (!isOnStack(lo + at)) found.push(`${hex(lo + at)} in [${hex(lo)}, ${hex(hi)}): ${text}`);
      }
    }
  }
  return found.slice(0, 5);
}
