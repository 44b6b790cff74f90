import { lengthOfAllgs, type Programs } from '../analyze/program.js';
import { pclntabRange } from '../analyze/runtime/find-module-data.js';
import { permissionError } from '../snapshots/errors.js';
import { harmToAll, memoryLeft } from './process/memory-left.js';

/*
 * What gospy is resident with at most while it captures, in bytes. Measured on Go 1.26 programs whose goroutines are parked: 133 MB
 * with 1,000 of them, 263 with 20,000, 543 with 100,000, and 1,370 with a million. Of many, the stacks are packed as they are read.
 * And on servers with 10 to 470 goroutines, by the size of their function tables: 187 MB where they have 3 MB (esbuild), 213 with 6
 * (nats-server), 238 with 14 (Prometheus), 256 with 17 (dockerd), 193 with 28 (rclone) and 259 with 31 (MinIO). All with Node 20.
 */
const LEAST_BYTES = 128e6;
const BYTES_PER_GOROUTINE = 6500;
const MANY = 65_000;
const BYTES_PER_MORE = 900;
/** Large programs have large functions on their stacks, through which values are followed. */
const CODE_PER_TABLE_BYTE = 30;
const MOST_FOR_CODE = 150e6;

/**
 * Newer engines take more: in the same captures Node 22 took 1.04 to 1.2 times as much, and Node 24 and 26 took 1.13 to 1.38 times,
 * the latter where the model has room to spare.
 */
const NODE_MAJOR = Number.parseInt(process.versions.node, 10);
const BY_ENGINE = NODE_MAJOR <= 20 ? 1 : NODE_MAJOR <= 22 ? 1.2 : 1.3;

/** Models how much memory gospy has resident at most while it captures so many goroutines, of a program with function tables of a size. */
function modelMemory(goroutines: number, tableBytes: number): number {
  const more = Math.max(0, goroutines - MANY);
  const forCode = Math.min(MOST_FOR_CODE, CODE_PER_TABLE_BYTE * tableBytes);
  // The tables themselves are kept until they are written.
  const forProgram = LEAST_BYTES + forCode + tableBytes;
  return BY_ENGINE * (forProgram + BYTES_PER_GOROUTINE * (goroutines - more) + BYTES_PER_MORE * more);
}

/** Models the same for programs, in bytes. */
export function memoryNeeded(programs: Programs): number {
  let tableBytes = 0;
  for (const { module } of programs.flatMap(({ code }) => code.modules)) {
    const { lo, hi } = pclntabRange(module);
    tableBytes += hi - lo;
  }
  return modelMemory(lengthOfAllgs(programs), tableBytes);
}

/**
 * Throws `permission` if a capture of these programs may reach a memory limit of gospy's cgroup, and the kernel would then end
 * all that are in it, or slow them down. Where it would end one of them, gospy is that one: see {@link endFirst}. `gospy top` needs less.
 */
export function assertRoom(
  programs: Programs,
  left = memoryLeft('self'),
  residentBytes = process.memoryUsage.rss(),
): void {
  if (left === null) return;
  const needed = memoryNeeded(programs) - residentBytes;
  const harm = harmToAll(left, needed);
  if (harm === null) return;
  const mb = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  const { pid } = programs[0].image;
  throw permissionError(
    `Process ${pid} was left alone: the memory limit of the container that gospy runs in leaves ${mb(left.bytes)}, gospy needs ` +
      `about ${mb(needed)} more, and once nothing is left, the kernel ${harm}`,
    {
      hint: 'Run gospy outside of it, on the host or in a container of its own (`kubectl debug`), or raise the limit.',
    },
  );
}
