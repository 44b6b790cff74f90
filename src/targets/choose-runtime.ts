import { basename } from 'node:path';
import type { GoProgram, Programs } from '../../analyze/program.js';
import { usageError } from '../../snapshots/errors.js';

/**
 * Returns the one program that `--runtime` names by its number, or by the path or the base name of its file; all if it is
 * not given. Throws a usage error where it names none, or several.
 */
export function chooseRuntime(programs: Programs, wanted: string | undefined): Programs {
  if (wanted === undefined) return programs;
  const [first, ...more] = named(programs, wanted);
  if (first !== undefined && more.length === 0) return [first];
  const known = programs.map(({ runtime: { n, file } }) => `${n} (${file})`).join(', ');
  throw usageError(
    first === undefined
      ? `there is no Go runtime ${wanted} in the target`
      : `${wanted} names ${more.length + 1} Go runtimes of the target`,
    { hint: `--runtime takes a number, or a file by its path or name; there is ${known}` },
  );
}

function named(programs: Programs, wanted: string): readonly GoProgram[] {
  if (/^[0-9]+$/.test(wanted)) return programs.filter(({ runtime }) => runtime.n === Number(wanted));
  const byPath = programs.filter(({ runtime }) => runtime.file === wanted);
  return byPath.length > 0 ? byPath : programs.filter(({ runtime }) => basename(runtime.file) === wanted);
}
