import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { stackObjects } from '../stacks/stack-objects.js';
import type { FrameRange } from './code-registers.js';

/** Bytes from the stack pointer at the function's entry to where variables end, below the frame pointer, and arguments begin. */
const VARIABLES = -8;
const ARGUMENTS = 8;

/**
 * The variables of a frame that hold pointers and whose own address the code takes, from and to bytes from the stack pointer
 * at the function's entry: functions that it calls may change them.
 */
export function pointedVariables({ memory, release }: CodeIndex, { table, func }: CodePoint): FrameRange[] {
  return (stackObjects(memory, release, table, func) ?? []).map(({ offset, sizeBytes }) => {
    const from = offset + (offset < 0 ? VARIABLES : ARGUMENTS);
    return { from, to: from + sizeBytes };
  });
}
