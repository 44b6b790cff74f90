import { readFileSync } from 'node:fs';
import type { Addr } from '../../snapshots/address.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { startGo } from '../support/go.js';
import { untilQuiet } from '../support/quiet.js';

const AT_ENTRY = 9n;

/** Starts a program of a test's own, waits until it is at rest, and looks at it without a stop. */
export async function restingImage(t: Parameters<typeof startGo>[0], path: string): Promise<ProcessImage> {
  const program = await startGo(t, path);
  await untilQuiet(program.pid);
  const target = new LiveProcess(program.pid, 'read');
  t.teardown(() => {
    target.close();
  });
  return target.image();
}

/** How far from its addresses in the file a program was loaded, by the kernel's word on where it begins. */
export function loadBias(pid: number, entry: number): number {
  const bytes = readFileSync(`/proc/${pid}/auxv`);
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    if (bytes.readBigUInt64LE(at) === AT_ENTRY) return Number(bytes.readBigUInt64LE(at + 8)) - entry;
  }
  throw new Error(`/proc/${pid}/auxv has no AT_ENTRY`);
}

/** A symbol's address in the process. */
export function loaded(value: number | undefined, bias: number): Addr | null {
  return value === undefined ? null : ((value + bias) as Addr);
}
