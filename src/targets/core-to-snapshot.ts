import { extract } from '../../analyze/extract.js';
import type { Warning } from '../../analyze/warnings.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { openCoreProgram, type CoreFileOptions } from './core-files.js';
import type { CaptureFacts } from '../../snapshots/image.js';
import type { Segment } from '../../snapshots/memory.js';
import { version } from '../version.js';

/** What came of a core that was made a snapshot; `gospy.capture/1`. */
export interface CoreSnapshotReport {
  readonly path: string;
  readonly pid: number;
  readonly goVersion: string;
  readonly mode: 'core';
  /** Not known: another tool wrote the core. */
  readonly pauseNs: null;
  /** Goroutines that had not ended. */
  readonly goroutines: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly threads: number;
  readonly partial: boolean;
  readonly warnings: readonly Warning[];
}

/** Makes a snapshot of a core, what the analysis needs of it, and closes the core. Throws GospyError; nothing is left behind then. */
export async function coreToSnapshot(image: Core, path: string, options: CoreFileOptions): Promise<CoreSnapshotReport> {
  try {
    const { program, close } = openCoreProgram(image, options);
    try {
      const { program: analyzed, image: facts, groups } = extract(program);
      const goroutines = analyzed.goroutineCount;
      const partial = facts.capture.partial || image.damage.length > 0 || analyzed.unreadable > 0;
      const warnings = [...facts.capture.warnings, ...program.warnings, ...analyzed.warnings];
      const capture: CaptureFacts = { ...facts.capture, partial, warnings: distinct(warnings), writer: version() };
      const counted = new Counted(groups);
      const content = { image: { ...facts, capture }, memory: counted.groups() };
      const { bytesWritten } = await writeSnapshot(path, content);
      return {
        ...{ path, pid: facts.pid, goVersion: program.version.text, mode: 'core', pauseNs: null, goroutines },
        ...{ bytesRead: counted.bytes, bytesWritten, threads: facts.threads.length, partial },
        warnings: capture.warnings,
      };
    } finally {
      close();
    }
  } finally {
    image.close();
  }
}

/** Groups of memory, with the bytes in those that were taken. */
class Counted {
  bytes = 0;
  readonly #groups: Iterable<readonly Segment[]>;

  constructor(groups: Iterable<readonly Segment[]>) {
    this.#groups = groups;
  }

  *groups(): Iterable<readonly Segment[]> {
    for (const group of this.#groups) {
      this.bytes += group.reduce((sum, { bytes }) => sum + bytes.length, 0);
      yield group;
    }
  }
}

function distinct(warnings: readonly Warning[]): { code: string; message: string }[] {
  const seen = new Map(warnings.map(({ code, message }) => [`${code} ${message}`, { code, message }]));
  return [...seen.values()];
}
