import type { Addr } from './address.js';
import type { Arch } from './arch.js';
import type { LeakProof } from './leak-proof.js';
import type { Memory } from './memory.js';
import type { Registers } from './registers.js';
import type { FatalSignal } from './signals.js';
import type { DecoderSpec, StoredWork } from './work.js';

/**
 * A process that stands still: the interface between whoever provides a process (a live process, a `.gsp` file, an ELF
 * core with its binaries) and the analysis, which never learns which of them it has.
 */
export interface ProcessImage {
  readonly kind: 'live' | 'snapshot' | 'core';
  readonly arch: Arch;
  /** Process id as the host sees it, not as a container does. */
  readonly pid: number;
  readonly threads: readonly Thread[];
  /** Ascending, never overlapping. */
  readonly mappings: readonly Mapping[];
  readonly memory: Memory;
  readonly executable: Executable;
  readonly host: HostFacts;
  readonly capture: CaptureFacts;
  /** Struct types by name (`runtime.g`), from the program's debug information. Empty if the Go release is known. */
  readonly structs: ReadonlyMap<string, StructLayout>;
  /** The signal that ended the process; null if the process was alive. */
  readonly signal: FatalSignal | null;
  /** Which blocked goroutines are leaked; absent or null if that was not looked into. */
  readonly leaks?: LeakProof | null;
  /** What goroutines work on, if that was found out before; else the memory tells. */
  readonly work?: StoredWork | null;
  /** Decoders of the user's own, for what the memory tells. */
  readonly decoders?: readonly DecoderSpec[];
}

/** Returns a copy of an image with some parts replaced. Spreading an image would lose the parts that are getters. */
export function withParts(image: ProcessImage, changes: Partial<ProcessImage>): ProcessImage {
  const {
    kind,
    arch,
    pid,
    threads,
    mappings,
    memory,
    executable,
    host,
    capture,
    structs,
    signal,
    leaks = null,
    work = null,
    decoders = [],
  } = image;
  const facts = { kind, arch, pid, threads, mappings, memory, executable, host, capture, structs, signal };
  return { ...facts, leaks, work, decoders, ...changes };
}

/** Size and field offsets of a struct type. */
export interface StructLayout {
  readonly sizeBytes: number;
  /** Offsets in bytes, by field name. */
  readonly fields: Readonly<Record<string, number>>;
}

/** A thread, as the kernel knows it. */
export interface Thread {
  /** Thread id as the host sees it. */
  readonly tid: number;
  /** Thread id in the process's own pid namespace: the last number of NSpid. Equal to `tid` outside of containers. */
  readonly namespaceTid: number;
  /** /proc/PID/task/TID/comm. */
  readonly name: string;
  /** The kernel's letter for the state before the stop (R S D T t Z X I); `?` if unknown. */
  readonly state: string;
  /** null if they were not read (live mode, a thread that could not be stopped). */
  readonly registers: Registers | null;
  /** The C function that the thread is in. Absent if it is in Go code or no symbol table names the function. */
  readonly native?: NativeFunction;
}

/** A position in code other than Go code, found through the symbol table of the file. */
export interface NativeFunction {
  readonly name: string;
  /** Path of the mapped file as the target saw it. */
  readonly file: string;
  /** Offset into the function, in bytes. */
  readonly offset: number;
}

/** One line of /proc/PID/maps, or a PT_LOAD segment of a core. */
export interface Mapping {
  readonly start: Addr;
  /** One past the last byte. */
  readonly end: Addr;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** Offset in the mapped file, in bytes; 0 for anonymous memory. */
  readonly fileOffset: number;
  /** The mapped file as the target saw it, a `[name]` that the kernel gave, or empty for anonymous memory. */
  readonly path: string;
}

/** The file that the process executed, as far as it is known. */
export interface Executable {
  /** Path as the target saw it, without the kernel's " (deleted)". */
  readonly path: string;
  readonly deleted: boolean;
  /** NT_GNU_BUILD_ID in hex, or null. */
  readonly buildId: string | null;
  /** Go's own build id note, or null. */
  readonly goBuildId: string | null;
  /** File size in bytes; null if the file was not accessible. */
  readonly sizeBytes: number | null;
}

/** The machine on which a capture was made. */
export interface HostFacts {
  readonly hostname: string;
  /** uname -r. */
  readonly kernel: string;
  /** /proc/sys/kernel/random/boot_id, or null. */
  readonly bootId: string | null;
  /** Number of CPUs that are online. */
  readonly cpus: number;
  /** NSpid of the target: its pid in each nested pid namespace, the host's first. */
  readonly namespacePids: readonly number[];
}

/** How and when a capture was made. */
export interface CaptureFacts {
  /** `core` stands for a dump that another tool wrote. */
  readonly mode: 'stop' | 'clone' | 'live' | 'core';
  /** ISO 8601 with milliseconds, UTC; null if unknown. */
  readonly capturedAt: string | null;
  /** CLOCK_MONOTONIC of the process in nanoseconds, which is what Go's nanotime() would have returned; null if unknown. */
  readonly monotonicNs: bigint | null;
  /**
   * Nanoseconds from just before the first thread was interrupted until the last of those was let go that had trapped when
   * the copy was done: 0 in live mode, null if unknown.
   */
  readonly pauseNs: number | null;
  /**
   * Threads that had not trapped by then: they waited for a CPU, and executed nothing until they trapped. 0 in live mode,
   * null if unknown.
   */
  readonly lateThreads: number | null;
  /** Nanoseconds that one of them stood still at most, from its trap until it was let go; 0 if there is none. */
  readonly longestLateNs: number | null;
  /** True if something that was asked for is missing; `warnings` says what. */
  readonly partial: boolean;
  readonly warnings: readonly ImageWarning[];
  /** Start addresses of the records that changed while they were read (live mode), ascending. */
  readonly torn: readonly Addr[];
  /** Version of the gospy that made the capture; null for cores. */
  readonly writer: string | null;
}

/** Something that went wrong without ending the capture. */
export interface ImageWarning {
  /** A stable word that scripts can rely on, such as `thread-not-stopped`. */
  readonly code: string;
  readonly message: string;
}
