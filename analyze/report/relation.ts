import { MemoryFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';

/** How two images belong together. */
export interface Relation {
  readonly kind: 'same-process' | 'same-build' | 'other-build';
  /** From the first look to the second in nanoseconds, negative where the second is the earlier one; null: not known. */
  readonly elapsedNs: number | null;
}

/** Whether two images are of one process, of two processes of one build, or of two builds. */
export function relationOf(before: GoProgram, after: GoProgram): Relation {
  const sameBuild = isSameBuild(before, after);
  const sameProcess = sameBuild && isSameProcess(before, after);
  return {
    kind: sameProcess ? 'same-process' : sameBuild ? 'same-build' : 'other-build',
    elapsedNs: elapsed(before, after),
  };
}

function isSameBuild({ image: a, version }: GoProgram, { image: b, version: other }: GoProgram): boolean {
  const [x, y] = [a.executable, b.executable];
  if (x.goBuildId !== null || y.goBuildId !== null) return x.goBuildId === y.goBuildId;
  if (x.buildId !== null || y.buildId !== null) return x.buildId === y.buildId;
  return version.text === other.text && x.path === y.path && x.sizeBytes === y.sizeBytes;
}

/**
 * One process has one pid in one boot, and sched.procresizetime, a nanosecond at its start. That moves when GOMAXPROCS is
 * changed: then nothing that only counts upwards may have gone down.
 */
function isSameProcess(before: GoProgram, after: GoProgram): boolean {
  const [a, b] = [before.image, after.image];
  if (a.pid !== b.pid || a.host.hostname !== b.host.hostname || a.host.bootId !== b.host.bootId) return false;
  const [began, beganAfter] = [resizedAt(before), resizedAt(after)];
  if (began !== null && began === beganAfter) return true;
  return began !== null && beganAfter !== null && isLater(before, after) && !countsWentDown(before, after);
}

function isLater({ image: { capture: a } }: GoProgram, { image: { capture: b } }: GoProgram): boolean {
  return a.monotonicNs !== null && b.monotonicNs !== null && a.monotonicNs <= b.monotonicNs;
}

function countsWentDown(before: GoProgram, after: GoProgram): boolean {
  const generated = [before, after].map((program) => schedWord(program, 'goidgen') ?? 0);
  return (generated[0] ?? 0) > (generated[1] ?? 0);
}

function resizedAt(program: GoProgram): number | null {
  const at = schedWord(program, 'procresizetime');
  return at === 0 ? null : at;
}

function schedWord({ memory, layouts, globals }: GoProgram, field: string): number | null {
  const offset = layouts.of('schedt').optional(field);
  try {
    return offset === null ? null : memory.word(globals.sched, offset);
  } catch (error) {
    if (error instanceof MemoryFault) return null;
    throw error;
  }
}

function elapsed({ image: a }: GoProgram, { image: b }: GoProgram): number | null {
  const [x, y] = [a.capture, b.capture];
  if (a.host.bootId !== null && a.host.bootId === b.host.bootId && x.monotonicNs !== null && y.monotonicNs !== null) {
    return Number(y.monotonicNs - x.monotonicNs);
  }
  if (x.capturedAt === null || y.capturedAt === null) return null;
  return (Date.parse(y.capturedAt) - Date.parse(x.capturedAt)) * 1e6;
}
