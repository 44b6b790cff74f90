import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import type { Arch } from '../../snapshots/arch.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { GospyError, noGoProcess } from '../../snapshots/errors.js';
import type { CaptureFacts, Executable, Mapping, ProcessImage, StructLayout, Thread } from '../../snapshots/image.js';
import { Memory } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
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
import { MemoryPort } from './memory-port.js';
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
    const ids = inExecutable(executableLink(pid, this.#tid), ({ buildId, goBuildId }) => ({ buildId, goBuildId }));
    this.executable = { ...readExecutable(pid, this.#tid), ...(ids ?? { buildId: null, goBuildId: null }) };
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
      structs: new Map(),
      signal: null,
    };
  }

  memory(mappings = this.mappings): Memory {
    return new Memory(new ProcessMemory(this.#port, mappings));
  }

  /** Mappings as they are now: a program that grows has others than at first. Throws `noGoProcess` where it has ended. */
  currentMappings(): readonly Mapping[] {
    return readMappings(this.pid, this.#tid);
  }

  /** Struct types by name, from the debug information of its executable: none where that was stripped. */
  structs(names: ReadonlySet<string>): ReadonlyMap<string, StructLayout> {
    return inExecutable(executableLink(this.pid, this.#tid), (file) => dwarfStructs(file, names)) ?? new Map();
  }

  /** A thread that lived when the process was first looked at. */
  get liveTid(): number {
    return this.#tid;
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

  /**
   * As {@link assertSameProgram}; throws `noGoProcess` also where the process has ended. Whoever looks at the old memory
   * at that very moment keeps it there for a while, so the mappings are looked at too.
   */
  assertUnchanged(cause: unknown): void {
    this.assertSameProgram(cause);
    if (!isAlive(this.pid, this.#tid) || landmarks(this.currentMappings()) !== landmarks(this.mappings))
      throw this.#endedBy(cause);
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

/** What stays in its place for as long as a process executes one program, and is elsewhere in the next one. */
function landmarks(mappings: readonly Mapping[]): string {
  const vdso = mappings.find(({ path }) => path === '[vdso]')?.start;
  const stack = mappings.find(({ path }) => path === '[stack]')?.end;
  return `${vdso ?? 'none'} ${stack ?? 'none'}`;
}

/** What an executable says; null where it cannot be opened or is broken. */
function inExecutable<T>(link: string, read: (file: ElfFile) => T): T | null {
  try {
    const file = ElfFile.open(link);
    try {
      return read(file);
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof GospyError) return null;
    throw error;
  }
}
