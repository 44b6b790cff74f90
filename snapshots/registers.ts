import type { Arch } from './arch.js';

/**
 * The order of the kernel's general register set (NT_PRSTATUS) in PTRACE_GETREGSET and in ELF cores, one u64 each. amd64:
 * struct user_regs_struct in <sys/user.h>. arm64: struct user_pt_regs in <asm/ptrace.h>.
 */
const ORDER = {
  amd64: [
    ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'],
    ...['orig_rax', 'rip', 'cs', 'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'],
  ],
  arm64: [...Array.from({ length: 31 }, (_, i) => `x${i}`), 'sp', 'pc', 'pstate'],
} as const satisfies Record<Arch, readonly string[]>;

const ROLES = {
  amd64: { pc: 'rip', sp: 'rsp', fp: 'rbp' },
  arm64: { pc: 'pc', sp: 'sp', fp: 'x29' },
} as const satisfies Record<Arch, { pc: string; sp: string; fp: string }>;

/** Returns the size of the general register set in bytes. */
export function registerSetSize(arch: Arch): number {
  return ORDER[arch].length * 8;
}

/** The general registers of one thread. Values are `bigint`, since a register holds any 64 bits. */
export class Registers {
  readonly arch: Arch;
  /** The registers as the kernel gave them. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Throws RangeError if `bytes` is shorter than the register set. */
  constructor(arch: Arch, bytes: Uint8Array) {
    if (bytes.length < registerSetSize(arch)) {
      throw new RangeError(`${bytes.length} bytes are too few for the ${registerSetSize(arch)} of ${arch} registers`);
    }
    this.arch = arch;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Makes registers from values by the kernel's names. Registers without a value are 0; unknown names are ignored. */
  static of(arch: Arch, values: ReadonlyMap<string, bigint>): Registers {
    const bytes = new Uint8Array(registerSetSize(arch));
    const view = new DataView(bytes.buffer);
    for (const [i, name] of ORDER[arch].entries()) {
      view.setBigUint64(8 * i, BigInt.asUintN(64, values.get(name) ?? 0n), true);
    }
    return new Registers(arch, bytes);
  }

  /** Returns a register by the kernel's name for it (`rip`, `x30`). Throws RangeError if the CPU has no such register. */
  get(name: string): bigint {
    return this.#view.getBigUint64(this.#offsetOf(name), true);
  }

  /** Returns a copy with other values in some registers. Throws RangeError if the CPU has no such register. */
  with(changes: Readonly<Record<string, bigint>>): Registers {
    const copy = new Registers(this.arch, Uint8Array.from(this.bytes));
    for (const [name, value] of Object.entries(changes)) {
      copy.#view.setBigUint64(this.#offsetOf(name), BigInt.asUintN(64, value), true);
    }
    return copy;
  }

  get pc(): bigint {
    return this.get(ROLES[this.arch].pc);
  }
  get sp(): bigint {
    return this.get(ROLES[this.arch].sp);
  }
  /** The frame pointer. */
  get fp(): bigint {
    return this.get(ROLES[this.arch].fp);
  }

  #offsetOf(name: string): number {
    const index = (ORDER[this.arch] as readonly string[]).indexOf(name);
    if (index < 0) throw new RangeError(`${this.arch} has no register ${name}`);
    return index * 8;
  }
}
