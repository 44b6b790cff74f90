import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { CaptureFacts } from '../../snapshots/image.js';
import { tryText } from './procfs.js';

/** The time of a capture. */
export type Clocks = Pick<CaptureFacts, 'capturedAt' | 'monotonicNs'>;

const NS_PER_SECOND = 1_000_000_000n;

/**
 * By how many nanoseconds CLOCK_MONOTONIC of a process is ahead of gospy's: 0 unless it is in another time namespace
 * (time_namespaces(7), Linux 5.6). null if that is not known. `root` is for tests.
 */
export function monotonicOffset(pid: number, root = '/'): bigint | null {
  const folder = join(root, `proc/${pid}`);
  const own = join(root, 'proc/self');
  const [time, ownTime] = [namespaceOf(folder, 'time'), namespaceOf(own, 'time')];
  if (time === null || time === ownTime) return 0n;
  // The offsets that /proc shows are those of the namespace of its children.
  if (namespaceOf(folder, 'time_for_children') !== time) return null;
  const [offset, ownOffset] = [offsetIn(folder), offsetIn(own)];
  return offset === null || ownOffset === null ? null : offset - ownOffset;
}

function namespaceOf(folder: string, kind: string): string | null {
  try {
    return readlinkSync(join(folder, 'ns', kind));
  } catch {
    return null;
  }
}

/** A line of timens_offsets has a clock, by name or number, and its seconds and nanoseconds. */
function offsetIn(folder: string): bigint | null {
  const text = tryText(join(folder, 'timens_offsets')) ?? '';
  const [, seconds, nanoseconds] = /^(?:monotonic|1)\s+(-?\d+)\s+(\d+)$/m.exec(text) ?? [];
  return seconds === undefined || nanoseconds === undefined
    ? null
    : BigInt(seconds) * NS_PER_SECOND + BigInt(nanoseconds);
}

/** The time now, with CLOCK_MONOTONIC as a process sees it that is ahead of gospy by `offset`, in nanoseconds. */
export function readClocks(offset: bigint | null): Clocks {
  const monotonicNs = offset === null ? null : process.hrtime.bigint() + offset;
  return { capturedAt: new Date().toISOString(), monotonicNs };
}
