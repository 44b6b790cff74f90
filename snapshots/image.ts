import type { Addr } from './address.js';
import type { Memory } from './memory.js';
import type { Registers } from './registers.js';
import type { FatalSignal } from './signals.js';

/** CPUs whose Go programs can be read, named as GOARCH names them. */
export type Arch = 'amd64' | 'arm64';

/**
 * A process, standing still: the seam of the whole program. A live process, a `.gsp` file and an ELF core (with its
 * binaries) are three of them, and the analyzer never learns which it has.
 */
export interface ProcessImage {
  readonly kind: 'live' | 'snapshot' | 'core';
  readonly arch: Arch;
  /** As the host that was captured sees it. */
  readonly pid: number;
  readonly threads: readonly Thread[];
  /** In ascending order, never overlapping. */
  readonly mappings: readonly Mapping[];
  readonly memory: Memory;
  readonly executable: Executable;
  readonly host: HostFacts;
  readonly capture: CaptureFacts;
  /** Struct types of the program by name, as its debug information had them; empty where they were not needed. */
  readonly structs: ReadonlyMap<string, StructLayout>;
  /** The signal that ended the process; null where it was alive. */
  readonly signal: FatalSignal | null;
}

/** A copy of an image in which some parts are others. Classes that read a file have their parts as getters, which spreading loses. */
export function withParts(image: ProcessImage, changes: Partial<ProcessImage>): ProcessImage {
  const { kind, arch, pid, threads, mappings, memory, executable, host, capture, structs, signal } = image;
  return { kind, arch, pid, threads, mappings, memory, executable, host, capture, structs, signal, ...changes };
}

/** Where the fields of a struct type lie, in bytes. */
export interface StructLayout {
  readonly sizeBytes: number;
  /** Offsets by name. */
  readonly fields: Readonly<Record<string, number>>;
}

/** One kernel thread. */
export interface Thread {
  /** As the host sees it. */
  readonly tid: number;
  /** As the process itself sees it, in its own pid namespace: the last number of NSpid. Equal to `tid` elsewhere. */
  readonly namespaceTid: number;
  /** /proc/PID/task/TID/comm. */
  readonly name: string;
  /** The kernel's letter before the stop (R S D T t Z X I); `?` where it is not known. */
  readonly state: string;
  /** null where they were not read (live mode, a thread that could not be stopped). */
  readonly registers: Registers | null;
  /** The C function that it stands in, where a symbol table tells. */
  readonly native?: NativeFunction;
}

/** A place in code that is not Go's, by the symbol table of its file. */
export interface NativeFunction {
  readonly name: string;
  /** The mapped file as the target saw it. */
  readonly file: string;
  /** Bytes into the function. */
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
  /** Offset in the mapped file in bytes; 0 for anonymous memory. */
  readonly fileOffset: number;
  /** The mapped file as the target saw it, a `[name]` of the kernel's, or the empty string for anonymous memory. */
  readonly path: string;
}

/** The main program, as far as it is known. */
export interface Executable {
  /** Path as the target saw it, without the kernel's " (deleted)". */
  readonly path: string;
  readonly deleted: boolean;
  /** NT_GNU_BUILD_ID in hex, or null. */
  readonly buildId: string | null;
  /** Go's own build id note, or null. */
  readonly goBuildId: string | null;
  /** File size in bytes; null where the file could not be seen. */
  readonly sizeBytes: number | null;
}

/** Where a capture was made. */
export interface HostFacts {
  readonly hostname: string;
  /** uname -r. */
  readonly kernel: string;
  /** /proc/sys/kernel/random/boot_id, or null. */
  readonly bootId: string | null;
  /** Online CPUs. */
  readonly cpus: number;
  /** NSpid of the target: its pid in each nested pid namespace, the host's first. */
  readonly namespacePids: readonly number[];
}

/** How a capture was made, and for how long the process stood still. */
export interface CaptureFacts {
  /** `stop`, `clone`, `live`, or `core` for a dump that another tool wrote. */
  readonly mode: 'stop' | 'clone' | 'live' | 'core';
  /** ISO 8601 with milliseconds, UTC; null where it is not known. */
  readonly capturedAt: string | null;
  /** CLOCK_MONOTONIC of the host at the capture in nanoseconds, or null; what Go's nanotime() would have said. */
  readonly monotonicNs: bigint | null;
  /** From just before the first thread was interrupted until the last one was let go; 0 in live mode; null: unknown. */
  readonly pauseNs: number | null;
  /** True where something that was asked for is missing; `warnings` says what. */
  readonly partial: boolean;
  readonly warnings: readonly ImageWarning[];
  /** Start addresses of the records that changed while they were read (live mode), ascending. */
  readonly torn: readonly Addr[];
  /** Version of the gospy that wrote it; null for cores. */
  readonly writer: string | null;
}

/** Something that went wrong without ending the run. */
export interface ImageWarning {
  /** A stable word for scripts, such as `thread-not-stopped`. */
  readonly code: string;
  readonly message: string;
}
