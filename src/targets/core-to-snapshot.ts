import { extract } from '../../analyze/extract.js';
import { countLeaks, type LeakCount } from '../../analyze/leaks/verdicts.js';
import { storedWork, surveyWork } from '../../analyze/work/survey.js';
import { runtimesOf, warningsOf } from '../../analyze/report/all-runtimes.js';
import type { Runtime } from '../../analyze/report/model.js';
import { WarningCollector, type Warning } from '../../analyze/warnings.js';
import { checkOutput } from '../../snapshots/atomic-file.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { badFile } from '../../snapshots/errors.js';
import { writeSnapshot, type WriteOptions } from '../../snapshots/gsp/write.js';
import type { CaptureFacts } from '../../snapshots/image.js';
import type { Segment } from '../../snapshots/memory.js';
import type { ValueLevel } from '../../snapshots/work.js';
import { version } from '../version.js';
import { openCorePrograms } from './core-files.js';
import { kindOfTarget } from './file-kind.js';
import { openCoreFile } from './open-core.js';
import { withProof } from './proof.js';
import type { FileTarget, Opening } from './target.js';

/** What came of a core that was turned into a snapshot; `gospy.capture/1`. */
export interface CoreSnapshotReport {
  readonly path: string;
  readonly pid: number;
  readonly goVersion: string;
  readonly mode: 'core';
  /** Unknown: another tool wrote the core. */
  readonly pauseNs: null;
  readonly lateThreads: null;
  readonly longestLateNs: null;
  /** Goroutines that had not ended. */
  readonly goroutines: number;
  readonly runtimes: readonly Runtime[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly threads: number;
  /** True where the core, or a goroutine in it, could not be read to its end. */
  readonly partial: boolean;
  /** Of the blocked goroutines those that are leaked; null if that was not asked for, or could not be proved. */
  readonly leaks: LeakCount | null;
  readonly warnings: readonly Warning[];
}

/** How a core becomes a snapshot. */
interface Distilling extends Opening, Pick<WriteOptions, 'write'> {
  /** How much is kept of the values that goroutines work on. */
  readonly values: ValueLevel;
}

/**
 * Writes a snapshot at `path` of what the analysis needs of a core. Throws GospyError where the core cannot be read, is
 * a snapshot, or the output cannot be written; nothing is left behind then.
 */
export async function coreToSnapshot(spec: FileTarget, path: string, opening: Distilling): Promise<CoreSnapshotReport> {
  const kind = kindOfTarget(spec.file);
  if (kind.kind !== 'core') throw badFile(`${spec.file} is already a snapshot, not a core`);
  if (opening.write === undefined) checkOutput(path);
  opening.progress?.(`reading ${spec.file}`);
  const core = await openCoreFile(spec.file, kind, opening);
  try {
    return await writeExtract(core, spec, path, opening);
  } finally {
    core.close();
  }
}

async function writeExtract(
  core: Core,
  spec: FileTarget,
  path: string,
  { values, ...opening }: Distilling,
): Promise<CoreSnapshotReport> {
  const opened = openCorePrograms(core, spec);
  try {
    const programs = await withProof(opened, opening);
    const { decoders = [] } = opening;
    const surveyed = values === 'none' ? [] : programs.flatMap((program) => surveyWork(program, decoders));
    const { programs: analyzed, image, groups } = extract(programs);
    const runtimes = runtimesOf(analyzed);
    const goroutines = runtimes.reduce((sum, runtime) => sum + runtime.goroutines, 0);
    const partial =
      image.capture.partial || core.damage.length > 0 || analyzed.some(({ unreadable }) => unreadable > 0);
    const warnings = withoutRepeats([...warningsOf(programs), ...warningsOf(analyzed)]);
    const capture: CaptureFacts = {
      ...image.capture,
      partial,
      warnings: withoutGoroutines(warnings),
      writer: version(),
    };
    const memory = new CountingGroups(groups);
    const content = { image: { ...image, capture, work: storedWork(values, surveyed) }, memory };
    const { bytesWritten } = await writeSnapshot(path, content, opening);
    const { pid, threads } = image;
    return {
      ...{ path, pid, goVersion: programs[0].version.text, mode: 'core', goroutines },
      ...{ pauseNs: null, lateThreads: null, longestLateNs: null },
      ...{ runtimes, bytesRead: memory.sizeBytes, bytesWritten, threads: threads.length, partial },
      ...{ leaks: countLeaks(image.leaks ?? null), warnings },
    };
  } finally {
    opened.close();
  }
}

/** Groups of memory; counts the bytes of those that were iterated. */
class CountingGroups implements Iterable<readonly Segment[]> {
  sizeBytes = 0;
  readonly #groups: Iterable<readonly Segment[]>;

  constructor(groups: Iterable<readonly Segment[]>) {
    this.#groups = groups;
  }

  *[Symbol.iterator](): Iterator<readonly Segment[]> {
    for (const group of this.#groups) {
      this.sizeBytes += group.reduce((sum, { bytes }) => sum + bytes.length, 0);
      yield group;
    }
  }
}

function withoutRepeats(warnings: readonly Warning[]): readonly Warning[] {
  return new WarningCollector(warnings).all;
}

/** Without what concerns single goroutines: whoever reads the snapshot comes across the same, and warns of it. */
function withoutGoroutines(warnings: readonly Warning[]): { code: string; message: string }[] {
  const found = new Set(warnings.flatMap(({ code, goid }) => (goid === undefined ? [] : [code])));
  return warnings.flatMap(({ code, message }) => (found.has(code) ? [] : [{ code, message }]));
}
