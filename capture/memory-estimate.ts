import { lengthOfAllgs, type Programs } from '../analyze/program.js';
import { permissionError } from '../snapshots/errors.js';
import { memoryLeft } from './process/memory-left.js';

/*
 * What gospy is resident with at most while it captures, in bytes: measured on Go 1.26 programs whose goroutines are parked, 127 MB
 * with 1,000 of them, 247 with 20,000, 510 with 100,000, and 1,370 with a million. Of many, the stacks are packed as they are read.
 */
const LEAST_BYTES = 120e6;
const BYTES_PER_GOROUTINE = 6500;
const MANY = 65_000;
const BYTES_PER_MORE = 900;

/** Models how much memory gospy has resident at most while it captures so many goroutines, in bytes. */
export function modelMemory(goroutines: number): number {
  const more = Math.max(0, goroutines - MANY);
  return LEAST_BYTES + BYTES_PER_GOROUTINE * (goroutines - more) + BYTES_PER_MORE * more;
}

/**
 * Throws `permission` if a capture of these programs may reach the memory limit of gospy's cgroup, and the kernel would then end
 * all that are in it. Where it would end one of them, gospy is that one: see {@link endFirst}. `gospy top` needs less.
 */
export function assertRoom(
  programs: Programs,
  left = memoryLeft('self'),
  residentBytes = process.memoryUsage.rss(),
): void {
  if (left?.endsAll !== true) return;
  const goroutines = lengthOfAllgs(programs);
  const needed = modelMemory(goroutines) - residentBytes;
  if (needed <= left.bytes) return;
  const mb = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  const { pid } = programs[0].image;
  throw permissionError(
    `Process ${pid} was left alone: the memory limit of the container that gospy runs in leaves ${mb(left.bytes)}, gospy needs ` +
      `about ${mb(needed)} more, and once nothing is left, the kernel ends all processes of that container (memory.oom.group)`,
    {
      hint: 'Run gospy outside of it, on the host or in a container of its own (`kubectl debug`), or raise the limit.',
    },
  );
}
