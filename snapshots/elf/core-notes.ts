import { Bytes, BytesError } from '../bytes.js';
import type { Arch } from '../arch.js';
import { Registers, registerSetSize } from '../registers.js';
import { hasAddress, isFatal, type FatalSignal } from '../signals.js';
import { textOf, type ElfNote } from './notes.js';

/** Types of notes in a core (<linux/elf.h>). Their owner is `CORE`; Delve leaves the owner empty. */
export const CoreNote = {
  prstatus: 1,
  fpregset: 2,
  prpsinfo: 3,
  auxv: 6,
  /** `SIGI` */
  siginfo: 0x53494749,
  /** `FILE` */
  file: 0x46494c45,
} as const;

/** Delve's own notes (pkg/proc/dump.go and pkg/elfwriter of Delve 1.7 to 1.27): `DLVE` and `DLVT`. */
const DELVE_HEADER = 0x444c5645;
const DELVE_THREAD = 0x444c5654;

/** Types of entries in the auxiliary vector (<linux/auxvec.h>). */
export const Auxv = { phdr: 3, phnum: 5, base: 7, entry: 9, execfn: 31 } as const;

/** Offsets in struct elf_prstatus (<linux/elfcore.h>), the same on both CPUs up to the registers. */
export const PRSTATUS = { cursig: 12, pid: 32, registers: 112 } as const;
/** Offsets in struct elf_prpsinfo (<linux/elfcore.h>): fname has 16 bytes, psargs 80. */
export const PRPSINFO = { pid: 24, fname: 40, psargs: 56, sizeBytes: 136 } as const;

/** A file that the process had mapped: an entry of NT_FILE. */
export interface MappedFile {
  readonly start: number;
  readonly end: number;
  /** Offset in the file, in bytes. */
  readonly fileOffset: number;
  /** Path as the process saw it, without the kernel's " (deleted)". */
  readonly path: string;
  readonly deleted: boolean;
}

export interface CoreThread {
  readonly tid: number;
  readonly registers: Registers | null;
}

/** The content of a core's notes. */
export interface CoreNotes {
  /** In file order. The kernel writes the thread that received the signal first. */
  readonly threads: readonly CoreThread[];
  /** 0 if unknown. */
  readonly pid: number;
  /** Name of the program, cut to 15 bytes; empty if unknown. */
  readonly name: string;
  readonly signal: FatalSignal | null;
  /** Values by type; see {@link Auxv}. */
  readonly auxv: ReadonlyMap<number, number>;
  readonly files: readonly MappedFile[];
  /** Notes that could not be read, one sentence each. */
  readonly problems: readonly string[];
}

/** Largest accepted number of threads. */
const MOST_THREADS = 2 ** 20;

/** Reads the notes of a core. Broken notes are left out and listed in `problems`. */
export function readCoreNotes(notes: Iterable<ElfNote>, arch: Arch): CoreNotes {
  const reader = new NotesReader(arch);
  for (const note of notes) reader.add(note);
  return reader.finish();
}

class NotesReader {
  readonly #arch: Arch;
  readonly #threads: CoreThread[] = [];
  readonly #problems: string[] = [];
  #process = { pid: 0, name: '' };
  #delve = { pid: 0, entry: 0 };
  #current: { number: number; tid: number } | null = null;
  #siginfo: { number: number; code: number; addr: number } | null = null;
  #auxv = new Map<number, number>();
  #files: readonly MappedFile[] = [];

  constructor(arch: Arch) {
    this.#arch = arch;
  }

  add(note: ElfNote): void {
    try {
      this.#read(note);
    } catch (error) {
      if (!(error instanceof BytesError || error instanceof RangeError)) throw error;
      this.#problems.push(`a note of type ${note.type} cannot be read: ${error.message}`);
    }
  }

  finish(): CoreNotes {
    const { pid, name } = this.#process;
    if (this.#delve.entry !== 0 && !this.#auxv.has(Auxv.entry)) this.#auxv.set(Auxv.entry, this.#delve.entry);
    return {
      threads: this.#threads,
      pid: pid || this.#delve.pid || (this.#threads[0]?.tid ?? 0),
      name,
      signal: this.#signal(),
      auxv: this.#auxv,
      files: this.#files,
      problems: this.#problems,
    };
  }

  #read({ owner, type, content }: ElfNote): void {
    if (type === DELVE_HEADER) this.#delve = delveHeader(content);
    else if (type === DELVE_THREAD) this.#addThread(delveThread(content, this.#arch));
    if (owner !== 'CORE' && owner !== '') return;
    switch (type) {
      case CoreNote.prstatus:
        this.#readThread(content);
        return;
      case CoreNote.prpsinfo:
        this.#process = processOf(content);
        return;
      case CoreNote.siginfo:
        this.#siginfo ??= siginfoOf(content);
        return;
      case CoreNote.auxv:
        this.#auxv = auxvOf(content);
        return;
      case CoreNote.file:
        this.#files = filesOf(content);
        return;
    }
  }

  #readThread(content: Uint8Array): void {
    const at = new Bytes(content, PRSTATUS.cursig);
    const number = at.u16();
    at.at = PRSTATUS.pid;
    const tid = at.u32();
    at.at = PRSTATUS.registers;
    if (number !== 0) this.#current ??= { number, tid };
    // A copy: the note is a view of a larger block.
    this.#addThread({ tid, registers: new Registers(this.#arch, at.take(registerSetSize(this.#arch)).slice()) });
  }

  #addThread(thread: CoreThread): void {
    if (this.#threads.length >= MOST_THREADS) throw new BytesError('there are too many threads');
    this.#threads.push(thread);
  }

  /**
   * Returns the fatal signal, which the note of its thread names. NT_SIGINFO adds details if it is about the same signal:
   * debuggers write one for every thread, with the signals by which they stopped the threads.
   */
  #signal(): FatalSignal | null {
    const number = this.#current?.number ?? this.#siginfo?.number ?? 0;
    if (!isFatal(number)) return null;
    const tid = this.#current?.tid ?? this.#threads[0]?.tid ?? 0;
    const info = this.#siginfo?.number === number ? this.#siginfo : null;
    const code = info?.code ?? 0;
    return { number, code, addr: info !== null && hasAddress(number, code) ? info.addr : null, tid };
  }
}

function processOf(content: Uint8Array): { pid: number; name: string } {
  if (content.length < PRPSINFO.psargs) throw new BytesError(`${content.length} bytes are too few for prpsinfo`);
  const at = new Bytes(content, PRPSINFO.pid);
  return { pid: at.u32(), name: textOf(content.subarray(PRPSINFO.fname, PRPSINFO.psargs)) };
}

/** Parses siginfo_t: si_signo, si_errno, si_code, and at offset 16 si_addr, or other data of the signal. */
function siginfoOf(content: Uint8Array): { number: number; code: number; addr: number } {
  const at = new Bytes(content);
  const number = at.u32();
  at.at = 8;
  const code = at.u32() | 0;
  at.at = 16;
  return { number, code, addr: Number(at.u64()) };
}

function auxvOf(content: Uint8Array): Map<number, number> {
  const out = new Map<number, number>();
  const at = new Bytes(content);
  while (at.at + 16 <= content.length) {
    const [type, value] = [at.u64(), at.u64()];
    if (type === 0n) break;
    if (type < 2n ** 32n && value <= BigInt(Number.MAX_SAFE_INTEGER)) out.set(Number(type), Number(value));
  }
  return out;
}

/** Parses NT_FILE: a count, the page size in which offsets are counted, the ranges, then the names. */
function filesOf(content: Uint8Array): MappedFile[] {
  const at = new Bytes(content);
  const [count, pageSize] = [at.word(), at.word()];
  if (count > (content.length - 16) / 24) throw new BytesError(`${count} mapped files do not fit into their note`);
  let name = 16 + 24 * count;
  const out: MappedFile[] = [];
  for (let i = 0; i < count; i++) {
    const [start, end, offset] = [at.word(), at.word(), at.word()];
    const stop = content.indexOf(0, name);
    if (stop < 0) throw new BytesError('the names of the mapped files end early');
    const whole = textOf(content.subarray(name, stop));
    name = stop + 1;
    const path = whole.replace(/ \(deleted\)$/, '');
    if (start < end) out.push({ start, end, fileOffset: offset * pageSize, path, deleted: path !== whole });
  }
  return out.sort((a, b) => a.start - b.start);
}

/** Parses Delve's header, which has the lines `Target Pid: 17` and `Entry Point: 0x4889a0`. */
function delveHeader(content: Uint8Array): { pid: number; entry: number } {
  const lines = textOf(content);
  const value = (pattern: RegExp): number => Number(pattern.exec(lines)?.[1] ?? 0);
  return { pid: value(/^Target Pid: (\d{1,10})$/m), entry: value(/^Entry Point: (0x[0-9a-f]{1,13})$/m) };
}

/**
 * Parses a thread as Delve writes it on CPUs for which it writes no NT_PRSTATUS (arm64): id, pc, sp, bp, tls, a flag, the
 * address of the g, then registers by name.
 */
function delveThread(content: Uint8Array, arch: Arch): CoreThread {
  const at = new Bytes(content);
  const tid = at.word();
  const [pc, sp] = [at.u64(), at.u64()];
  at.at += 25;
  const values = new Map<string, bigint>();
  for (let left = at.u32(); left > 0; left--) {
    const name = textOf(at.take(at.u16())).toLowerCase();
    const value = at.take(at.u16());
    if (value.length === 8) values.set(name, new Bytes(value).u64());
  }
  values.set(arch === 'amd64' ? 'rip' : 'pc', pc).set(arch === 'amd64' ? 'rsp' : 'sp', sp);
  return { tid, registers: Registers.of(arch, values) };
}
