import type { Arch } from './image.js';

/**
 * The kernel's general register set, NT_PRSTATUS, as PTRACE_GETREGSET and an ELF core have it: one u64 each, in this
 * order. amd64: struct user_regs_struct of <sys/user.h>; arm64: struct user_pt_regs of <asm/ptrace.h>.
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

/** Size of the general register set in bytes. */
export function registerSetSize(arch: Arch): number {
  return ORDER[arch].length * 8;
}

/** The general registers of one thread. Values are `bigint`: a register holds any 64 bits. */
export class Registers {
  readonly arch: Arch;
  /** The kernel's bytes, unchanged. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Throws RangeError where `bytes` is shorter than the register set. */
  constructor(arch: Arch, bytes: Uint8Array) {
    if (bytes.length < registerSetSize(arch)) {
      throw new RangeError(`${bytes.length} bytes are no ${arch} register set of ${registerSetSize(arch)}`);
    }
    this.arch = arch;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** From values by the kernel's names; a register without one is 0, a name that the CPU lacks is left out. */
  static of(arch: Arch, values: ReadonlyMap<string, bigint>): Registers {
    const bytes = new Uint8Array(registerSetSize(arch));
    const view = new DataView(bytes.buffer);
    for (const [i, name] of ORDER[arch].entries()) {
      view.setBigUint64(8 * i, BigInt.asUintN(64, values.get(name) ?? 0n), true);
    }
    return new Registers(arch, bytes);
  }

  /** Value of a register by the kernel's name (`rip`, `x30`); throws RangeError for a name that the CPU lacks. */
  get(name: string): bigint {
    const index = (ORDER[this.arch] as readonly string[]).indexOf(name);
    if (index < 0) throw new RangeError(`${this.arch} has no register ${name}`);
    return this.#view.getBigUint64(index * 8, true);
  }

  /** A copy in which some registers have other values; throws RangeError for a name that the CPU lacks. */
  with(changes: Readonly<Record<string, bigint>>): Registers {
    const changed = new Registers(this.arch, Uint8Array.from(this.bytes));
    for (const [name, value] of Object.entries(changes)) {
      const index = (ORDER[this.arch] as readonly string[]).indexOf(name);
      if (index < 0) throw new RangeError(`${this.arch} has no register ${name}`);
      changed.#view.setBigUint64(index * 8, BigInt.asUintN(64, value), true);
    }
    return changed;
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
}
