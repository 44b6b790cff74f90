import { ElfFile } from '../snapshots/elf/elf-file.js';
import { GospyError, noGoProcess } from '../snapshots/errors.js';
import type { Arch, CaptureFacts, Executable, Mapping, ProcessImage, Thread } from '../snapshots/image.js';
import { Memory } from '../snapshots/memory.js';
import type { Runs } from '../snapshots/runs.js';
import { assertReachable } from './permission.js';
import {
  executableLink,
  hostArch,
  isAlive,
  liveThread,
  readExecutable,
  readHostFacts,
  readMappings,
  readThreads,
} from './procfs.js';
import { RunReader } from './run-reader.js';
import { MemoryPort } from './vmread.js';
import { ProcessMemory } from './process-memory.js';

const NOT_CAPTURED: CaptureFacts = {
  mode: 'live',
  capturedAt: null,
  monotonicNs: null,
  pauseNs: null,
  partial: false,
  warnings: [],
  torn: [],
  writer: null,
};

/** A running process that gospy may read. */
export class LiveProcess {
  readonly pid: number;
  readonly arch: Arch;
  readonly mappings: readonly Mapping[];
  readonly executable: Executable;
  readonly #tid: number;
  readonly #port: MemoryPort;

  /** Throws GospyError: 3 where there is no such process, 4 where the kernel refuses what `purpose` takes. */
  constructor(pid: number, purpose: 'stop' | 'read') {
    assertReachable(pid, purpose);
    this.pid = pid;
    this.arch = hostArch();
    this.#tid = liveThread(pid);
    this.mappings = readMappings(pid, this.#tid);
    this.#port = new MemoryPort(pid, this.#tid);
    this.executable = { ...readExecutable(pid, this.#tid), ...buildIds(executableLink(pid, this.#tid)) };
  }

  /** The process without registers; its memory remembers what was read from it. */
  image(): ProcessImage {
    return {
      kind: 'live',
      arch: this.arch,
      pid: this.pid,
      threads: this.threads(),
      mappings: this.mappings,
      memory: this.memory(),
      executable: this.executable,
      host: readHostFacts(this.pid),
      capture: NOT_CAPTURED,
    };
  }

  memory(): Memory {
    return new Memory(new ProcessMemory(this.#port, this.mappings));
  }

  threads(): Thread[] {
    return readThreads(this.pid);
  }

  /**
   * Throws `noGoProcess` where the process has executed another program since it was first looked at: all that is known
   * of it is worth nothing then. Costs some microseconds.
   */
  assertSameProgram(cause?: unknown): void {
    const start = this.mappings.find(({ readable }) => readable)?.start;
    if (start === undefined || !this.#port.isSameImage(start)) throw this.#endedBy(cause);
  }

  /** As {@link assertSameProgram}; throws `noGoProcess` also where the process has ended. */
  assertUnchanged(cause: unknown): void {
    this.assertSameProgram(cause);
    if (!isAlive(this.pid, this.#tid)) throw this.#endedBy(cause);
  }

  #endedBy(cause: unknown): GospyError {
    return noGoProcess(`Process ${this.pid} ended, or became another program, while it was captured.`, { cause });
  }

  /** Lets go of the memory; what was read from it stays. */
  close(): void {
    this.#port.close();
  }

  reader(runs: Runs): RunReader {
    return new RunReader(this.#port, runs);
  }
}

/** What tells builds apart; an executable that cannot be opened or read has none. */
function buildIds(link: string): Pick<Executable, 'buildId' | 'goBuildId'> {
  try {
    const file = ElfFile.open(link);
    try {
      return { buildId: file.buildId, goBuildId: file.goBuildId };
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof GospyError) return { buildId: null, goBuildId: null };
    throw error;
  }
}
