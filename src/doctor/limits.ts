import type { Programs } from '../../analyze/program.js';
import { assertRoom, memoryNeeded } from '../../capture/memory-estimate.js';
import type { CpuQuota } from '../../capture/process/cpu-quota.js';
import type { MemoryLeft } from '../../capture/process/memory-left.js';
import { GospyError } from '../../snapshots/errors.js';
import { fail, pass, unknown, type Check } from './check.js';

/** Whether a capture fits into the memory limit that gospy runs under, and the error with which it would be refused. */
export function checkMemory(
  programs: Programs,
  left: MemoryLeft | null,
  residentBytes = process.memoryUsage.rss(),
): { readonly check: Check; readonly error: GospyError | null } {
  if (left === null) return { check: pass('memory', 'gospy runs under no memory limit that it can see'), error: null };
  try {
    assertRoom(programs, left, residentBytes);
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return { check: fail('memory', error.message, error.hint), error };
  }
  const needed = memoryNeeded(programs);
  // What this process takes is free again for the capture.
  const available = left.bytes + residentBytes;
  const [has, needs] = [available, needed].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
  const finding = `the memory limit that gospy runs under leaves ${has}; a capture takes about ${needs}`;
  if (available >= needed) return { check: pass('memory', finding), error: null };
  return { check: unknown('memory', `${finding}: if nothing is left, the kernel ends gospy`), error: null };
}

/** Whether the process has to share its CPU time with gospy. */
export function checkCpu(quota: CpuQuota | null): Check {
  if (quota === null) return pass('cpu', 'gospy runs under no limit on CPU time that it can see');
  const limit = `a limit of ${quota.cpus.toFixed(2)} CPUs`;
  if (!quota.isShared) return pass('cpu', `gospy runs under ${limit}, and the process does not`);
  return unknown('cpu', `gospy and the process share ${limit}: a capture takes half of it at most once it is used up`);
}
