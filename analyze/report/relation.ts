import type { Executable } from '../../snapshots/image.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';

/** How two images are related. */
export interface Relation {
  readonly kind: 'same-process' | 'same-build' | 'other-build';
  /** Nanoseconds from the first capture to the second, negative if the second is the earlier one; null: not known. */
  readonly elapsedNs: number | null;
}

/** Finds out whether two images show one process, two processes of one build, or two builds. */
export function relationOf(before: GoProgram, after: GoProgram): Relation {
  const sameBuild = isSameBuild(before, after);
  const sameProcess = sameBuild && isSameProcess(before, after);
  return {
    kind: sameProcess ? 'same-process' : sameBuild ? 'same-build' : 'other-build',
    elapsedNs: elapsed(before, after),
  };
}

function isSameBuild(before: GoProgram, after: GoProgram): boolean {
  const [x, y] = [fileOf(before), fileOf(after)];
  if (x.goBuildId !== null || y.goBuildId !== null) return x.goBuildId === y.goBuildId;
  if (x.buildId !== null || y.buildId !== null) return x.buildId === y.buildId;
  return before.version.text === after.version.text && x.path === y.path && x.sizeBytes === y.sizeBytes;
}

/** What is known of the file that a program is in: more of the executable than of a library. */
function fileOf({ runtime, image: { executable } }: GoProgram): Omit<Executable, 'deleted'> {
  const { file: path, buildId, goBuildId } = runtime;
  return path === executable.path ? executable : { path, buildId, goBuildId, sizeBytes: null };
}

/**
 * Two captures of one process have the same pid, host and boot, and the same sched.procresizetime: the nanosecond at
 * which the Ps were made. It changes with GOMAXPROCS (procresize in proc.go): then the later capture must not have fewer
 * goroutine ids given out, since sched.goidgen never goes down.
 */
function isSameProcess(before: GoProgram, after: GoProgram): boolean {
  const [a, b] = [before.image, after.image];
  if (a.pid !== b.pid || a.host.hostname !== b.host.hostname || a.host.bootId !== b.host.bootId) return false;
  const [began, beganAfter] = [resizedAt(before), resizedAt(after)];
  if (began !== null && began === beganAfter) return true;
  return began !== null && beganAfter !== null && isLater(before, after) && !goidsWentDown(before, after);
}

function isLater({ image: { capture: a } }: GoProgram, { image: { capture: b } }: GoProgram): boolean {
  return a.monotonicNs !== null && b.monotonicNs !== null && a.monotonicNs <= b.monotonicNs;
}

function goidsWentDown(before: GoProgram, after: GoProgram): boolean {
  return (schedWord(before, 'goidgen') ?? 0) > (schedWord(after, 'goidgen') ?? 0);
}

function resizedAt(program: GoProgram): number | null {
  const at = schedWord(program, 'procresizetime');
  return at === 0 ? null : at;
}

function schedWord({ memory, layouts, globals }: GoProgram, field: string): number | null {
  const offset = layouts.of('schedt').optional(field);
  return onFault(
    () => (offset === null ? null : memory.word(globals.sched, offset)),
    () => null,
  );
}

function elapsed({ image: a }: GoProgram, { image: b }: GoProgram): number | null {
  const [x, y] = [a.capture, b.capture];
  if (a.host.bootId !== null && a.host.bootId === b.host.bootId && x.monotonicNs !== null && y.monotonicNs !== null) {
    return Number(y.monotonicNs - x.monotonicNs);
  }
  if (x.capturedAt === null || y.capturedAt === null) return null;
  return (Date.parse(y.capturedAt) - Date.parse(x.capturedAt)) * 1e6;
}
