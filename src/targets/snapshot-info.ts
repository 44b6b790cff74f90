import { openPrograms } from '../../analyze/program.js';
import { runtimesOf, targetOfAll, warningsOf } from '../../analyze/report/all-runtimes.js';
import type { Runtime, Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import type { ValueLevel } from '../../snapshots/work.js';
import { GospyError } from '../../snapshots/errors.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { verifySnapshot, type SnapshotCheck } from '../../snapshots/gsp/verify.js';

/** What is in a snapshot and whether it is whole. */
export interface SnapshotInfo extends SnapshotCheck {
  /** The Go program in it; null where none can be read. */
  readonly target: Target | null;
  readonly runtimes: readonly Runtime[];
  /** How much of the program's values is in it; null where the file does not say. */
  readonly values: ValueLevel | null;
  readonly warnings: readonly Warning[];
}

/** Verifies every checksum of a snapshot and opens the program in it. Throws as {@link verifySnapshot} does. */
export function snapshotInfo(path: string): SnapshotInfo {
  const check = verifySnapshot(path);
  return {
    ...check,
    ...(check.facts === null ? { target: null, runtimes: [], values: null, warnings: [] } : readProgram(path)),
  };
}

function readProgram(path: string): Pick<SnapshotInfo, 'target' | 'runtimes' | 'values' | 'warnings'> {
  try {
    const snapshot = openSnapshot(path);
    try {
      const programs = openPrograms(snapshot);
      const [target, runtimes] = [targetOfAll(programs), runtimesOf(programs)];
      return { target, runtimes, values: snapshot.work?.level ?? null, warnings: warningsOf(programs) };
    } finally {
      snapshot.close();
    }
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return {
      target: null,
      runtimes: [],
      values: null,
      warnings: [{ code: 'program-unreadable', message: error.message }],
    };
  }
}
