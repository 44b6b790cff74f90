import { proveAll } from '../../analyze/leaks/prove-all.js';
import { notProved } from '../../analyze/leaks/verdicts.js';
import { withVariableNames } from '../../analyze/match/variable-names.js';
import type { GoProgram, Programs } from '../../analyze/program.js';
import type { LeakProof } from '../../snapshots/leak-proof.js';
import type { CorePrograms } from './core-files.js';
import type { Opening } from './target.js';

/** What is being done meanwhile. */
const MARKING = 'marking the heap';

/**
 * Proves which goroutines of programs in a core are leaked, if that is asked for: their image then has the proof, or a warning that
 * says why it could not be made.
 */
export async function withProof(
  { programs, files }: Pick<CorePrograms, 'programs' | 'files'>,
  { leaks, signal, progress }: Opening,
): Promise<Programs> {
  if (leaks === undefined) return programs;
  progress?.(MARKING);
  const proof = await proveAll(programs, { ...leaks, signal, progress: (bytes) => progress?.(MARKING, bytes) });
  const found = typeof proof === 'string' ? proof : withVariableNames(proof, files);
  const [first, ...more] = programs;
  return [told(first, found), ...more.map((program) => told(program, found))];
}

function told(program: GoProgram, found: LeakProof | string): GoProgram {
  if (typeof found !== 'string') return program.over({ leaks: found });
  const { capture } = program.image;
  return program.over({ capture: { ...capture, warnings: [...capture.warnings, notProved(found)] } });
}
