import { hex, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Analysis, Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { answer } from './answer.js';

/** The ELF header, the program headers and the notes lie in the first page. */
const HEADER_BYTES = 4096;
const SLICE_HEADER_BYTES = 24;
/** How many pointers are followed: runtime.modulesSlice points to a slice, and that to its elements. */
const STEPS = 3;

/**
 * What debuggers ask of an exported core: the executable's first page, by which they recognize the file, and the
 * runtime's variables that lead them to its modules and goroutines.
 */
export const DEBUGGER_READS: Reads = {
  fixed: [readHeaders, (program) => program.globals.variables.map((variable) => follow(program, variable))],
};

/** Whether a core made of the image would have what debuggers ask for. */
export const debuggersAnalysis: Analysis = {
  name: 'debuggers',
  reads: [DEBUGGER_READS],
  answer: (program) =>
    answer(program, {
      headers: onFault(
        () => readHeaders(program),
        () => null,
      ),
      variables: program.globals.variables.map((variable) => follow(program, variable)),
    }),
};

/** The first page of the executable as hex digits; null where it is not mapped. Throws MemoryFault where it is absent. */
function readHeaders({ image, memory }: GoProgram): string | null {
  const first = image.mappings.find(({ path, fileOffset }) => path === image.executable.path && fileOffset === 0);
  return first === undefined ? null : Buffer.from(memory.bytes(first.start, HEADER_BYTES)).toString('hex');
}

/** The slice header at `variable`, the one that it points to, and so on, as hex digits, as far as there is memory. */
function follow({ memory }: GoProgram, variable: Addr): string[] {
  const found: string[] = [];
  onFault(
    () => {
      let at = variable;
      for (let step = 0; step < STEPS; step++) {
        found.push(`${hex(at)}: ${Buffer.from(memory.bytes(at, SLICE_HEADER_BYTES)).toString('hex')}`);
        at = memory.ptr(at);
      }
    },
    () => undefined,
  );
  return found;
}
