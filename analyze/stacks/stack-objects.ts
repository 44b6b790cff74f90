import { plus } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import type { GoRelease } from '../runtime/releases.js';

/** A variable in a frame whose own address the code takes, and that holds pointers. */
export interface StackObject {
  /** Bytes from where the locals end (frame.varp) if it is negative, else from the first argument (frame.argp). */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** More than any function has. */
const MAX_OBJECTS = 4096;

/**
 * The stack objects of a function (stackObjectRecord in runtime/stack.go). null where there are implausibly many. Throws
 * MemoryFault where the list is absent.
 */
export function stackObjects(
  memory: Memory,
  { stackObjects: { funcdata, have, recordBytes } }: GoRelease,
  table: FunctionTable,
  func: Func,
): StackObject[] | null {
  const at = table.funcdata(func, funcdata);
  if (at === null) return [];
  const count = memory.word(at);
  if (!(count <= MAX_OBJECTS)) return null;
  return Array.from({ length: count }, (_, i) => {
    const record = plus(at, 8 + recordBytes * i);
    const sizeBytes = have === 'size' ? memory.i32(record, 4) : memory.word(memory.ptr(record, 8));
    return { offset: memory.i32(record), sizeBytes };
  });
}
