import type { FunctionTable } from '../../analyze/binary/function-table.js';
import { CodeIndex, CodePoint } from '../../analyze/stacks/code-index.js';
import { releaseOf } from '../../analyze/runtime/releases.js';
import type { MachineState, UnwindStart } from '../../analyze/stacks/unwind-start.js';
import { Unwinder } from '../../analyze/stacks/unwind.js';
import { addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';

/** Stacks that are laid out by hand, as the runtime's assembly leaves them: no Go program is run. */

const MEMORY = new Memory(new SegmentSource([]));
export const USER = { lo: 0x10000, hi: 0x20000 };
const NO_STACK = { lo: 0, hi: 0, topSp: 0 };
export const SYSTEM_SP = 0x38000;
export const SIGNAL = { lo: 0x50000, hi: 0x58000 };
export const OUTSIDE = 0x7f0000;
const TOP_FRAME = 1;
const SP_WRITE = 2;
const BYTES = 0x100;

interface MadeUp {
  readonly name: string;
  /** Bytes of its frame, or null where it has no table of them. */
  readonly size: number | null;
  readonly flag?: number;
}

const FUNCTIONS: readonly MadeUp[] = [
  { name: 'main.leaf', size: 0 },
  { name: 'main.work', size: 32 },
  { name: 'main.caller', size: 48 },
  { name: 'runtime.goexit', size: 0, flag: TOP_FRAME },
  { name: 'runtime.mstart', size: 0, flag: TOP_FRAME },
  { name: 'runtime.mcall', size: 16, flag: SP_WRITE },
  { name: 'runtime.morestack', size: 16, flag: SP_WRITE },
  { name: 'runtime.newstack', size: 64 },
  { name: 'runtime.systemstack', size: 16, flag: SP_WRITE },
  { name: 'runtime.gogo', size: 0, flag: SP_WRITE },
  { name: 'runtime.cgocallback', size: 24, flag: SP_WRITE },
  { name: 'runtime.nanotime1', size: 32, flag: SP_WRITE },
  { name: 'runtime.racecall', size: 0, flag: SP_WRITE },
  { name: 'runtime.racecallbackthunk', size: 56, flag: SP_WRITE },
  { name: 'asancall', size: 8, flag: SP_WRITE },
  { name: 'runtime.rt', size: 0, flag: SP_WRITE },
  { name: 'runtime.sigtramp', size: 64 },
  { name: 'runtime.sigreturn__sigaction', size: 0 },
  { name: 'runtime.(*sigctxt).pushCall', size: 32 },
  { name: 'runtime.asyncPreempt', size: 128 },
  { name: 'external', size: null },
  { name: 'runtime.racewrite', size: 0 },
];

const FUNCS = FUNCTIONS.map(({ name, size, flag }, index) => ({
  func: {
    ...{ index, entry: addr(0x400000 + BYTES * index), end: addr(0x400000 + BYTES * (index + 1)), name, funcID: 0 },
    flag: flag ?? 0,
    tables: { addr: addr(0), pcsp: 0, pcfile: 0, pcln: 0, npcdata: 0, nfuncdata: 0, cuOffset: 0 },
  },
  size,
}));

/** A code address in the middle of a function. */
export function pc(name: string): number {
  const found = FUNCS.find(({ func }) => func.name === name);
  if (found === undefined) throw new Error(`${name} is not made up`);
  return found.func.entry + BYTES / 2;
}

/** The functions above; those named in `prologue` have no frame yet. */
class MadeUpCode extends CodeIndex {
  readonly #prologue: readonly string[];

  constructor(prologue: readonly string[]) {
    super(MEMORY, [], releaseOf({ minor: 26 }), 'amd64');
    this.#prologue = prologue;
  }

  override at(at: number): CodePoint | null {
    const found = FUNCS.find(({ func }) => at >= func.entry && at < func.end);
    if (found === undefined) return null;
    const size = this.#prologue.includes(found.func.name) ? 0 : found.size;
    const table = {
      value: (_func: unknown, name: string) => (name === 'pcsp' ? size : 1),
      file: () => 'made-up.s',
      funcdata: () => null,
    };
    return new CodePoint(at, found.func, table as unknown as FunctionTable, this);
  }
}

export interface Walk {
  readonly at: readonly [pc: number, sp: number, lr?: number];
  readonly r12?: number;
  /** Words of memory by address. */
  readonly words: Readonly<Record<number, number>>;
  /** g.sched; none: the thread runs no goroutine. */
  readonly sched?: readonly [pc: number, sp: number];
  /** g.stktopsp; that of {@link OUTER} by default. */
  readonly topSp?: number;
  readonly machine?: Partial<MachineState> | null;
  readonly trap?: boolean;
  readonly syscall?: boolean;
  readonly prologue?: readonly string[];
}

/** Walks, and gives the rule of each step, the functions of the frames, and why the stack ends early. */
export function walk(arch: Arch, { at, r12, words, sched, topSp, machine, trap, syscall, prologue }: Walk): unknown {
  const segments = Object.entries(words).map(([at, value]) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
    return { addr: addr(Number(at)), bytes };
  });
  const rules: string[] = [];
  const observer = {
    usesWord: () => undefined,
    tookStep: (_at: unknown, { rule }: { rule: string }) => rules.push(rule),
  };
  const unwinder = new Unwinder(
    new Memory(new SegmentSource(segments)),
    arch,
    new MadeUpCode(prologue ?? []),
    observer,
  );
  const user =
    sched === undefined
      ? { ...NO_STACK, sched: { pc: 0, sp: 0, lr: 0 } }
      : { ...USER, topSp: topSp ?? OUTER_SP[arch], sched: { pc: sched[0], sp: sched[1], lr: 0 } };
  const start: UnwindStart = {
    registers: { pc: at[0], sp: at[1], lr: at[2] ?? 0, r12: r12 ?? null },
    trap: trap ?? true,
    syscall: syscall ?? false,
    user,
    machine: machine === null ? null : { systemSp: SYSTEM_SP, signal: SIGNAL, vdso: { pc: 0, sp: 0 }, ...machine },
  };
  const { frames, truncated } = unwinder.unwind(start);
  return [rules.join(' '), frames.map(({ point, sp }) => `${point.func.name}@${sp.toString(16)}`).join(' '), truncated];
}

/** A goroutine that stands in main.caller, called by nobody but goexit, with SP at 0x11000. */
export const CALLER_SP = 0x11000;
export const OUTER: Readonly<Record<Arch, Readonly<Record<number, number>>>> = {
  amd64: { [CALLER_SP + 48]: pc('runtime.goexit') },
  arm64: { [CALLER_SP]: pc('runtime.goexit') },
};
export const OUTER_SP: Readonly<Record<Arch, number>> = { amd64: CALLER_SP + 56, arm64: CALLER_SP + 48 };

export function outer(arch: Arch): string {
  return `main.caller@${CALLER_SP.toString(16)} runtime.goexit@${OUTER_SP[arch].toString(16)}`;
}

/** The signal frame of the kernel at `at`: where the code that was interrupted stood. */
export function signalFrame(
  arch: Arch,
  at: number,
  [pc, sp, lr]: readonly [number, number, number?],
): Record<number, number> {
  const ucontext = arch === 'amd64' ? at : at + 128;
  return {
    [ucontext + 16]: SIGNAL.lo,
    [ucontext + 32]: SIGNAL.hi - SIGNAL.lo,
    ...(arch === 'amd64'
      ? { [ucontext + 168]: pc, [ucontext + 160]: sp, [ucontext + 72]: 0 }
      : { [ucontext + 440]: pc, [ucontext + 432]: sp, [ucontext + 424]: lr ?? 0 }),
  };
}

/** Frames on amd64 and arm64: where the return address of one at `sp` lies, and the SP of its caller. */
export function frame(arch: Arch, sp: number, size: number): { slot: number; callerSp: number } {
  return arch === 'amd64' ? { slot: sp + size, callerSp: sp + size + 8 } : { slot: sp, callerSp: sp + size };
}
