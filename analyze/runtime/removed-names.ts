import { onFault } from '../../snapshots/memory.js';
import { FuncFlag, type FunctionTable, type Func, type NameGiver } from '../binary/function-table.js';
import type { GoRelease } from './releases.js';

/** Functions that every runtime has, and by whose names stacks are followed. */
const KEPT_NAMES = ['runtime.mcall', 'runtime.morestack', 'runtime.systemstack'];

const ASM_TOP_FRAME = FuncFlag.asm | FuncFlag.topFrame;

/** How the names begin that functions are given in place of removed ones; the address of the function follows. */
const GIVEN = 'unnamed';
const OF_RUNTIME = 'runtime.';

/** True for a function of package runtime whose name is not known. */
export function isUnnamedOfRuntime(name: string): boolean {
  return name.startsWith(`${OF_RUNTIME}${GIVEN}`);
}

/**
 * Names for the functions of a program whose names were removed, as `garble -tiny` does; null where they are there. A
 * function of package runtime that has a number has its true name. Other functions get one that says where they begin,
 * with `runtime.` before it if they lie in the files of that package: those of garble keep their folder and lines.
 */
export function namesFor(table: FunctionTable, { funcIDs }: GoRelease): NameGiver | null {
  if (table.mayName(KEPT_NAMES)) return null;
  const folder = onFault(
    () => folderOfRuntime(table, funcIDs.indexOf('goexit')),
    () => null,
  );
  const isOfRuntime = (name: string, file: string): boolean =>
    name.startsWith(OF_RUNTIME) || (folder !== null && folderOf(file) === folder);
  return {
    function: (table, func) => {
      if (!isRemoved(func.name)) return func.name;
      const known = nameByNumber(func, funcIDs);
      if (known !== null) return known;
      const file = onFault(
        () => table.fileAtEntry(func),
        () => '',
      );
      const prefix = isOfRuntime(func.name, file) ? OF_RUNTIME : '';
      return `${prefix}${GIVEN}_${func.entry.toString(16)}`;
    },
    inlined: (name, file) => {
      if (!isRemoved(name)) return name;
      return `${isOfRuntime(name, file) ? OF_RUNTIME : ''}${GIVEN}`;
    },
  };
}

function folderOfRuntime(table: FunctionTable, goexit: number): string | null {
  for (const { index, funcID } of table.kinds()) {
    if (funcID === goexit) return folderOf(table.fileAtEntry(table.at(index)));
  }
  return null;
}

/** True for a name without letters after its package: empty, `runtime.?`, `_.(*_)._`. */
function isRemoved(name: string): boolean {
  return !/[\p{L}\p{N}]/u.test(name.slice(name.lastIndexOf('.') + 1));
}

/** sigtramp (sys_linux_*.s) is the only outermost function in assembly without a number. */
function nameByNumber({ funcID, flag }: Func, funcIDs: readonly string[]): string | null {
  if (funcID === 0) return (flag & ASM_TOP_FRAME) === ASM_TOP_FRAME ? 'runtime.sigtramp' : null;
  if (funcID >= funcIDs.length - 1) return null;
  return `${OF_RUNTIME}${(funcIDs[funcID] ?? '').replace(/^runtime_/, '')}`;
}

/** null for a file without one: that of code that garble has obfuscated. */
function folderOf(file: string): string | null {
  const slash = file.lastIndexOf('/');
  return slash < 0 ? null : file.slice(0, slash);
}
