import { openProgram } from '../../analyze/program.js';
import { answer } from '../../analyze/report/answer.js';
import type { Target } from '../../analyze/report/model.js';
import { targetOf } from '../../analyze/report/summary.js';
import type { Warning } from '../../analyze/warnings.js';
import { GospyError } from '../../snapshots/errors.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { verifySnapshot, type SnapshotCheck } from '../../snapshots/gsp/verify.js';

/** What is in a snapshot and whether it is whole. */
export interface SnapshotInfo extends SnapshotCheck {
  /** The Go program in it; null where none can be read. */
  readonly target: Target | null;
  readonly warnings: readonly Warning[];
}

/** Verifies every checksum of a snapshot and opens the program in it. Throws as {@link verifySnapshot} does. */
export function snapshotInfo(path: string): SnapshotInfo {
  const check = verifySnapshot(path);
  return { ...check, ...(check.facts === null ? { target: null, warnings: [] } : readProgram(path)) };
}

function readProgram(path: string): Pick<SnapshotInfo, 'target' | 'warnings'> {
  try {
    const snapshot = openSnapshot(path);
    try {
      const program = openProgram(snapshot);
      const { value: target, warnings } = answer(program, targetOf(program));
      return { target, warnings };
    } finally {
      snapshot.close();
    }
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return { target: null, warnings: [{ code: 'program-unreadable', message: error.message }] };
  }
}
