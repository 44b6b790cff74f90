import { closeSync, openSync, readSync } from 'node:fs';
import { Errno, Pinned, errno, processVmReadv } from '../libc.js';
import { refusal } from './permission.js';

const IOVEC_SIZE = 16;
/** The most that {@link MemoryPort.bytes} returns. */
const SCRATCH_BYTES = 16 << 10;
/** Not the number of any open file. */
const CLOSED = -1;
/** An address on which nothing is ever mapped. */
const UNMAPPED = 0;

/** What reads the memory of a process for {@link ProcessMemory}. */
export type MemoryReader = Pick<MemoryPort, 'read' | 'isThere'>;

/**
 * Reads the memory of a process: by process_vm_readv or, if a container's seccomp filter refuses that, through
 * /proc/PID/mem, which is about half as fast. Both need the permission to trace, and neither stops anything.
 */
export class MemoryPort {
  readonly method: 'process_vm_readv' | '/proc/PID/mem';
  readonly #tid: number;
  #file: number;
  readonly #local = new Pinned(IOVEC_SIZE);
  readonly #remote = new Pinned(IOVEC_SIZE);
  readonly #scratch = new Pinned(SCRATCH_BYTES);
  readonly #probe = new Uint8Array(1);

  /**
   * `tid` is a thread of the process that is alive: a first thread that has ended shows no memory. `method` is the only one to
   * use, if it matters. Throws `permission` and `noGoProcess`.
   */
  constructor(pid: number, tid: number, method?: MemoryPort['method']) {
    this.#tid = tid;
    try {
      this.#file = openSync(`/proc/${pid}/task/${tid}/mem`, 'r');
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code;
      const denied = code === 'EACCES' || code === 'EPERM';
      throw refusal(pid, 'Access to the memory', denied ? Errno.EPERM : Errno.ESRCH, cause);
    }
    this.method = method ?? (this.#isRefused() ? '/proc/PID/mem' : 'process_vm_readv');
  }

  /** Copies bytes from `addr` on. Returns how many: fewer than asked if a page is absent, 0 if the first one is. */
  read(addr: number, into: Pinned, offset: number, length: number): number {
    if (this.method === '/proc/PID/mem') return this.readFile(addr, into.bytes, offset, length);
    this.#local.setWord(0, into.address + offset);
    this.#local.setWord(8, length);
    this.#remote.setWord(0, addr);
    this.#remote.setWord(8, length);
    return Math.max(0, this.readVector(this.#local.address, 1, this.#remote.address, 1));
  }

  /** A copy of the bytes at an address; null if not all of them can be read, or there are more than 16 kB. */
  bytes(addr: number, length: number): Uint8Array | null {
    if (length > SCRATCH_BYTES || this.read(addr, this.#scratch, 0, length) !== length) return null;
    return this.#scratch.bytes.slice(0, length);
  }

  /** One call of process_vm_readv with the addresses of two lists. Returns the bytes read, or -1: see `errno`. */
  readVector(localIov: number, localCount: number, remoteIov: number, remoteCount: number): number {
    return processVmReadv(this.#tid, localIov, localCount, remoteIov, remoteCount);
  }

  /** As {@link read}, through /proc/PID/mem. */
  readFile(addr: number, into: Uint8Array, offset: number, length: number): number {
    let done = 0;
    try {
      while (done < length) {
        const n = readSync(this.#file, into, offset + done, length - done, addr + done);
        if (n === 0) break;
        done += n;
      }
    } catch {
      // EIO: the page is absent. The bytes before it were read.
    }
    return done;
  }

  /** True if the byte at an address can be read. */
  isThere(addr: number): boolean {
    return this.read(addr, this.#scratch, 0, 1) === 1;
  }

  /**
   * Reads only the program that this port was opened for: /proc/PID/mem belongs to one, while process_vm_readv reads what the
   * process has become. What may not be read counts as absent all the same, though /proc/PID/mem has it.
   */
  get ofProgram(): MemoryReader {
    return {
      read: (addr, into, offset, length) => this.readFile(addr, into.bytes, offset, length),
      isThere: (addr) => this.isThere(addr),
    };
  }

  /** False if the process has ended or executed another program since this port was opened. `addr` must have been readable. */
  isSameImage(addr: number): boolean {
    return this.readFile(addr, this.#probe, 0, 1) === 1;
  }

  /** Later reads fail: the fd may be reused. */
  close(): void {
    closeSync(this.#file);
    this.#file = CLOSED;
  }

  /** True if process_vm_readv is refused. Tracing is permitted, since the file could be opened: so it is the call itself. */
  #isRefused(): boolean {
    this.#local.setWord(0, this.#local.address);
    this.#local.setWord(8, 1);
    this.#remote.setWord(0, UNMAPPED);
    this.#remote.setWord(8, 1);
    const failed = this.readVector(this.#local.address, 1, this.#remote.address, 1) === -1 ? errno() : 0;
    return failed === Errno.ENOSYS || failed === Errno.EPERM;
  }
}
