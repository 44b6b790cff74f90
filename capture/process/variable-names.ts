import { withVariableNames } from '../../analyze/match/variable-names.js';
import type { GoRuntime } from '../../analyze/runtime/go-runtime.js';
import type { Mapping } from '../../snapshots/image.js';
import type { LeakProof } from '../../snapshots/leak-proof.js';
import { MappedFiles } from './mapped-files.js';

/**
 * A proof with the names of the global variables in it, from the symbol tables of the files that hold the code of `programs`, which
 * only this machine has.
 */
export function nameVariables(
  proof: LeakProof,
  pid: number,
  mappings: readonly Mapping[],
  programs: readonly GoRuntime[],
): LeakProof {
  const files = new MappedFiles(pid, mappings);
  try {
    const modules = programs.flatMap(({ code }) => code.modules);
    const loaded = modules.flatMap(({ module }) => files.loadedAt(module.text) ?? []);
    return withVariableNames(proof, loaded);
  } finally {
    files.close();
  }
}
