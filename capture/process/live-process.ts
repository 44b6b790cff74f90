import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import type { Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { GospyError, noGoProcess } from '../../snapshots/errors.js';
import type { CaptureFacts, Executable, Mapping, ProcessImage, StructLayout, Thread } from '../../snapshots/image.js';
import { Memory } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import type { Pinned } from '../libc.js';
import { monotonicOffset, readClocks, type Clocks } from './clocks.js';
import { CpuQuota } from './cpu-quota.js';
import { assertReachable } from './permission.js';
import {
  executableLink,
  hostArch,
  isAlive,
  liveThread,
  namespaceTid,
  readExecutable,
  readHostFacts,
  readMappings,
  readStatus,
  readThreads,
  listThreads,
} from './procfs.js';
import { MemoryPort } from './memory-port.js';
import { ProcessMemory } from './process-memory.js';
import { RunReader } from './run-reader.js';
import type { Slab } from './slab.js';
import { SparseReader } from './sparse-reader.js';

const NOT_CAPTURED: CaptureFacts = {
  mode: 'live',
  capturedAt: null,
  monotonicNs: null,
  pauseNs: null,
  lateThreads: null,
  longestLateNs: null,
  partial: false,
  warnings: [],
  torn: [],
  writer: null,
};

/** A running process that gospy may read. Close it after use. */
export class LiveProcess {
  readonly pid: number;
  readonly arch: Arch;
  /** The mappings at the first look. */
  readonly mappings: readonly Mapping[];
  readonly executable: Executable;
  /** The limit on CPU time that gospy runs under; null if there is none. */
  readonly quota: CpuQuota | null;
  readonly #tid: number;
  readonly #port: MemoryPort;
  /** The mappings at the last look. */
  #latest: readonly Mapping[];
  readonly #isNested: boolean;
  readonly #clockOffset: bigint | null;

  /** Throws `noGoProcess` if there is no such process, and `permission` if the kernel refuses what `purpose` needs. */
  constructor(pid: number, purpose: 'stop' | 'read') {
    assertReachable(pid, purpose);
    this.pid = pid;
    this.quota = CpuQuota.find(pid);
    this.arch = hostArch();
    this.#tid = liveThread(pid);
    this.mappings = readMappings(pid, this.#tid);
    this.#latest = this.mappings;
    this.#isNested = readStatus(pid).namespacePids.length > 1;
    this.#clockOffset = monotonicOffset(pid);
    this.#port = new MemoryPort(pid, this.#tid);
    const ids = readElf(executableLink(pid, this.#tid), ({ buildId, goBuildId }) => ({ buildId, goBuildId }));
    this.executable = { ...readExecutable(pid, this.#tid), ...(ids ?? { buildId: null, goBuildId: null }) };
  }

  /** The process without registers. Its memory keeps what was read, even if the process changes it later. */
  image(): ProcessImage {
    return {
      kind: 'live',
      arch: this.arch,
      pid: this.pid,
      threads: this.threads(),
      mappings: this.currentMappings(),
      memory: this.memory(),
      executable: this.executable,
      host: readHostFacts(this.pid),
      capture: NOT_CAPTURED,
      structs: new Map(),
      signal: null,
    };
  }

  /** The memory as it is from now on, with the mappings of now. Throws `noGoProcess` if the process has ended. */
  contents(): Pick<ProcessImage, 'mappings' | 'memory'> & Pick<LiveProcess, 'reader'> {
    const mappings = this.currentMappings();
    return { mappings, memory: this.memory(), reader: (runs, slab) => this.reader(runs, slab) };
  }

  /** The memory as it is from now on; what is read once is kept. Of another program that the process becomes, nothing can be read. */
  memory(): Memory {
    const currentMappings = (): readonly Mapping[] => this.#mappingsIfAlive();
    const rest = (): number => this.rest();
    return new Memory(new ProcessMemory(this.#port.ofProgram, this.#latest, currentMappings, rest));
  }

  /** The time now, as the process sees it. */
  clocks(): Clocks {
    return readClocks(this.#clockOffset);
  }

  /** As {@link CpuQuota.rest}, if there is a limit. */
  rest(): number {
    return this.quota?.rest() ?? 0;
  }

  /** The bytes of a record as they are now; null if not all of them can be read, or there are more than 16 kB. */
  bytesNow(addr: Addr, length: number): Uint8Array | null {
    return this.#port.bytes(addr, length);
  }

  /** Copies bytes from `addr` on to an offset of `into`. Returns how many: fewer than `length` if a page is absent. */
  readInto(addr: Addr, into: Pinned, offset: number, length: number): number {
    return this.#port.read(addr, into, offset, length);
  }

  /** The mappings as they are now: they change as a program grows. Throws `noGoProcess` if the process has ended. */
  currentMappings(): readonly Mapping[] {
    return (this.#latest = readMappings(this.pid, this.#tid));
  }

  /** The mappings as they are now; those of the last look if the process has ended or executed another program. */
  lastMappings(): readonly Mapping[] {
    const before = this.#latest;
    const now = this.#mappingsIfAlive();
    return now.length > 0 && landmarks(now) === landmarks(this.mappings) ? now : before;
  }

  #mappingsIfAlive(): readonly Mapping[] {
    try {
      return this.currentMappings();
    } catch (error) {
      if (error instanceof GospyError) return [];
      throw error;
    }
  }

  /** Struct types by name, from the debug information of the executable; empty if that was stripped. */
  structs(names: ReadonlySet<string>): ReadonlyMap<string, StructLayout> {
    return readElf(executableLink(this.pid, this.#tid), (file) => dwarfStructs(file, names)) ?? new Map();
  }

  /** A thread that was alive when the process was first looked at. */
  get liveTid(): number {
    return this.#tid;
  }

  /** The id of a thread in the process's own pid namespace; that of gospy's if the thread has ended. */
  namespaceTid(tid: number): number {
    return this.#isNested ? namespaceTid(this.pid, tid) : tid;
  }

  threads(): Thread[] {
    return readThreads(this.pid);
  }

  /** The ids of the threads: much quicker than {@link threads}. */
  tids(): number[] {
    return listThreads(this.pid);
  }

  /**
   * Throws `noGoProcess` if the process has executed another program since it was first looked at: nothing that is known of
   * it holds then. Takes some microseconds.
   */
  assertSameProgram(cause?: unknown): void {
    if (!this.isSameProgram()) throw this.#endedBy(cause);
  }

  /** False if the process has ended, or executed another program. */
  isSameProgram(): boolean {
    const start = this.mappings.find(({ readable }) => readable)?.start;
    return start !== undefined && this.#port.isSameImage(start);
  }

  /**
   * As {@link assertSameProgram}, but also throws `noGoProcess` if the process has ended. A reader of the old memory keeps it
   * readable for a while after an execve, so this compares the mappings too.
   */
  assertUnchanged(cause: unknown): void {
    this.assertSameProgram(cause);
    if (!isAlive(this.pid, this.#tid) || landmarks(this.currentMappings()) !== landmarks(this.mappings))
      throw this.#endedBy(cause);
  }

  #endedBy(cause: unknown): GospyError {
    return noGoProcess(`Process ${this.pid} ended, or became another program, while it was captured.`, { cause });
  }

  /** Closes the memory. What was read from it stays. */
  close(): void {
    this.#port.close();
  }

  reader(runs: Runs, slab?: Slab): RunReader {
    return new RunReader(this.#port, runs, slab);
  }

  sparseReader(runs: Runs): SparseReader {
    return new SparseReader(this.#port, runs);
  }
}

/** Addresses that stay the same while a process executes one program, and differ in the next one. */
function landmarks(mappings: readonly Mapping[]): string {
  const vdso = mappings.find(({ path }) => path === '[vdso]')?.start;
  const stack = mappings.find(({ path }) => path === '[stack]')?.end;
  return `${vdso ?? 'none'} ${stack ?? 'none'}`;
}

/** What `read` returns for an executable; null if that cannot be opened or is broken. */
function readElf<T>(link: string, read: (file: ElfFile) => T): T | null {
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
