import { writeFileSync } from 'node:fs';

/** The highest score: of a process that takes all the memory there is (oom_badness in mm/oom_kill.c). */
const FIRST = '1000';

/**
 * Has the kernel end this process before all others if memory runs out: gospy and its clones are often in the container of the
 * process that must not be hurt, with one limit for all. Children inherit it. Where /proc refuses, nothing changes.
 */
export function endFirst(pid: number | 'self'): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, FIRST);
  } catch {
    return;
  }
}
