import { BytesError } from '../../snapshots/bytes.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import type { SymbolIndex } from '../../snapshots/elf/symbol-index.js';
import { OUTCOMES, type LeakProof } from '../../snapshots/leak-proof.js';

/** A file that a process has loaded. */
export interface LoadedFile {
  readonly file: ElfFile;
  /** Address in the process minus address in the file, in bytes. */
  readonly bias: number;
}

/** Outcomes whose `from` may lie in a variable. */
const IN_VARIABLES: readonly number[] = [OUTCOMES.indexOf('global'), OUTCOMES.indexOf('outside')];

/** A proof with the names of the global variables in it, from the symbol tables of the files in which they lie. */
export function withVariableNames(proof: LeakProof, files: readonly LoadedFile[]): LeakProof {
  const wanted = new Set(proof.from.filter((_, i) => IN_VARIABLES.includes(proof.outcomes[i] ?? 0)));
  const names = new Map(proof.names);
  for (const { file, bias } of wanted.size === 0 ? [] : files) {
    const variables = orNull(() => file.variables());
    for (const addr of variables === null ? [] : wanted) {
      const name = orNull(() => nameAt(variables, addr - bias));
      if (name !== null) names.set(addr, name);
    }
  }
  return { ...proof, names };
}

function nameAt(variables: SymbolIndex | null, vaddr: number): string | null {
  return variables?.at(vaddr)?.name ?? null;
}

/** What `read` returns; null where the file turns out to be broken. */
function orNull<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof BytesError) return null;
    throw error;
  }
}
