import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { dataReferences } from '../runtime/code-references.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import { runtimeFunctions } from '../runtime/runtime-functions.js';
import { NotProvable } from './not-provable.js';

/** Refers to the lists of blocks, allfin and from Go 1.25 on gcCleanups.all: it marks from them (mgcmark.go). */
const MARKER = 'markroot';
/** _FinBlockSize (mfinal.go) and cleanupBlockSize (mcleanup.go). */
export const BLOCK_BYTES = 4096;
/** Where the next block of the list is: finblock.alllink, and cleanupBlock.alllink behind its lfnode. */
const ALL_LINKS = [0, 16];
const MAX_BLOCKS = 2 ** 16;

/**
 * The blocks outside of the heap in which finalizers and cleanups wait to be run: whole, whatever of them is in use. Blocks
 * are taken for such if the marker refers to them: one too many only lets a leak be missed. Throws {@link NotProvable}.
 */
export function finalizerBlocks({ memory, image, code }: GoRuntime, isInHeap: (addr: Addr) => boolean): Set<Addr> {
  const [table] = code.modules;
  const func = table === undefined ? undefined : runtimeFunctions(memory, table, [MARKER]).get(MARKER);
  if (table === undefined || func === undefined)
    throw new NotProvable('the code that marks from finalizers was not found');
  const heads = onFault(
    () => dataReferences(memory, image.arch, func, table.module.data),
    () => null,
  );
  if (heads === null) throw new NotProvable('the code that marks from finalizers is not in the image');
  const blocks = new Set<Addr>();
  for (const head of heads) {
    for (const link of ALL_LINKS) {
      let at = pointerAt(head, 0);
      for (let count = 0; at !== 0 && !isInHeap(at) && count < MAX_BLOCKS && memory.has(at, BLOCK_BYTES); count++) {
        if (isInData(at)) break;
        blocks.add(at);
        at = pointerAt(at, link);
      }
    }
  }
  return blocks;

  function pointerAt(at: Addr, offset: number): Addr {
    return onFault(
      () => memory.ptr(at, offset),
      () => 0 as Addr,
    );
  }

  function isInData(at: Addr): boolean {
    return code.modules.some(({ module }) => module.data.some(({ lo, hi }) => at >= lo && at < hi));
  }
}
