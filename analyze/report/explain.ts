import { hex, plus, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import type { M } from '../runtime/machine.js';
import { isBlocked } from '../runtime/wait-records.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { UsedWord } from '../stacks/stack-memory.js';
import type { Position, RuleCode, Step } from '../stacks/step.js';
import { answer } from './answer.js';
import { GOROUTINE_READS } from './goroutines.js';
import { LocationResolver, STACK_READS } from './locations.js';
import type { CallFrame } from './model.js';
import { adviceFor, sentenceFor } from './rule-texts.js';

/** How the stack of every goroutine is followed. */
export const explainAnalysis: Analysis = {
  name: 'explain',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: (program) =>
    answer(
      program,
      [...program.goroutines()].map((g) => explainStack(program, g)),
    ),
};

/** How a goroutine's stack was followed, step by step: `gospy.explain/1` in docs/cli.md. Addresses are hex strings. */
export interface Explanation {
  readonly goid: number;
  readonly runtime: number;
  readonly status: GoroutineStatus;
  /** The runtime's own words, or null. */
  readonly waitReason: string | null;
  readonly start: ExplainedStart;
  /** Innermost first. */
  readonly steps: readonly ExplainedStep[];
  /** Why the stack ends early; null where it is whole. */
  readonly truncated: string | null;
  /** What could be done about that; null where nothing is known. */
  readonly advice: string | null;
}

/** Where the walk began, and why. */
export interface ExplainedStart {
  /** `g.sched`, `g.syscall` or `thread`; null where there are no registers to begin with. */
  readonly from: 'g.sched' | 'g.syscall' | 'thread' | null;
  readonly message: string;
  /** The thread that runs the goroutine; null where the walk did not begin with its registers. */
  readonly thread: { readonly m: number; readonly tid: number } | null;
  readonly words: readonly ExplainedWord[];
}

/** One step of the walk, from a function to its caller. */
export interface ExplainedStep {
  readonly rule: RuleCode;
  /** The rule in a sentence. */
  readonly message: string;
  /** The function; null in code that is not Go's. */
  readonly func: string | null;
  readonly pc: string;
  readonly sp: string;
  /** The link register, where the CPU has one and it is known to be the frame's. */
  readonly lr: string | null;
  /** True where `pc` is the next instruction (of a thread, after a trap or a signal); false for a return address. */
  readonly trap: boolean;
  /** Bytes that the function has put on the stack at these pcs [from, to), by its pcsp table; null where it has none. */
  readonly frameSize: { readonly bytes: number; readonly from: string; readonly to: string } | null;
  /** What the step adds to the stack: a frame, and before it the calls inlined into it. */
  readonly frames: readonly CallFrame[];
  /** What the rule used, in the order in which it did. */
  readonly words: readonly ExplainedWord[];
  /** Where the walk went on; null at its end. */
  readonly next: { readonly pc: string; readonly sp: string } | null;
}

/** A value that was used. */
export interface ExplainedWord {
  /** What it was taken for, such as `return address`, `lr` or `g.sched.pc`. */
  readonly name: string;
  /** null for a register. */
  readonly addr: string | null;
  /** null where the image does not have it. */
  readonly value: string | null;
}

/** Explains how the stack of `g` is followed. Never throws for what is or is not in the target's memory. */
export function explainStack(program: GoProgram, g: G): Explanation {
  const m = program.machineAt(g.m);
  const fields = new SavedFields(program, g, m);
  const places = new LocationResolver(program);
  const steps: ExplainedStep[] = [];
  let words: ExplainedWord[] = [];
  const { truncated } = program.watchStackOf(g, {
    usesWord(word) {
      words.push(fields.explain(word));
    },
    tookStep(at, step) {
      steps.push(explainStep(program, places, at, step, words));
      words = [];
    },
  });
  return {
    goid: g.goid,
    runtime: program.runtime.n,
    status: g.status,
    waitReason: isBlocked(g) ? program.waitReasons.at(g.waitreason) : null,
    start: explainStart(program, g, m, fields),
    steps,
    truncated,
    advice:
      truncated === null ? null : adviceFor(program.image, { last: steps.at(-1) ?? null, torn: isTorn(program, g) }),
  };
}

/** The live goroutine of an id, or null and how many there are. Throws MemoryFault where the list of them is damaged. */
export function findGoroutine(program: GoProgram, goid: number): { g: G } | { g: null; count: number } {
  let count = 0;
  for (const g of program.goroutines()) {
    if (g.goid === goid) return { g };
    count++;
  }
  return { g: null, count };
}

function explainStep(
  program: GoProgram,
  places: LocationResolver,
  at: Position,
  { rule, frame, next }: Step,
  words: readonly ExplainedWord[],
): ExplainedStep {
  const point = program.index.at(at.pc);
  const { arch } = program.image;
  return {
    rule,
    message: sentenceFor(rule, arch),
    func: point === null ? null : program.index.symbolizer.printedName(point.func.name),
    pc: hex(at.pc),
    sp: hex(at.sp),
    lr: at.lr === 0 ? null : hex(at.lr),
    trap: at.trap,
    frameSize: point === null ? null : frameSizeAt(point),
    frames: frame === null ? [] : places.calls([frame]),
    words,
    next: next === null ? null : { pc: hex(next.pc), sp: hex(next.sp) },
  };
}

/** null where the function has no table of it, or the image does not have the table. */
function frameSizeAt(point: CodePoint): ExplainedStep['frameSize'] {
  return onFault(
    () => {
      const { spDelta, table, func, pc } = point;
      const range = table.range(func, 'pcsp', pc);
      if (spDelta === null || range === null) return null;
      return { bytes: spDelta, from: hex(range.from), to: hex(range.to) };
    },
    () => null,
  );
}

function explainStart(program: GoProgram, g: G, m: M | null, fields: SavedFields): ExplainedStart {
  const start = program.startOf(g);
  if (start === null) {
    const message = 'It was running, and the registers of its thread are not known.';
    return { from: null, message, thread: null, words: [] };
  }
  const { pc, sp, lr } = start.registers;
  const names = program.image.arch === 'arm64' ? (['pc', 'sp', 'lr'] as const) : (['pc', 'sp'] as const);
  const words = (prefix: string): ExplainedWord[] =>
    names.map((name) => fields.explain({ name: prefix + name, addr: null, value: BigInt({ pc, sp, lr }[name]) }));
  if (start.machine !== null && m !== null) {
    const tid = program.threadOf(m)?.tid ?? m.procid;
    const message = `It was running on M ${m.id}: the walk begins with the registers of thread ${tid}.`;
    return { from: 'thread', message, thread: { m: m.id, tid }, words: words('') };
  }
  if (start.syscall) {
    const message = 'It is in a system call or in C code: the walk begins where it entered that.';
    return { from: 'g.syscall', message, thread: null, words: words('g.syscall').slice(0, 2) };
  }
  const message = 'It does not run: the walk begins where the scheduler will resume it.';
  return { from: 'g.sched', message, thread: null, words: words('g.sched.') };
}

function isTorn({ image }: GoProgram, { addr }: G): boolean {
  return image.capture.torn.includes(addr);
}

/** Finds where the fields lie that rules name, in the g that is followed and the M that runs it. */
class SavedFields {
  readonly #program: GoProgram;
  readonly #addresses: ReadonlyMap<string, Addr>;

  constructor(program: GoProgram, g: G, m: M | null) {
    this.#program = program;
    const { layouts } = program;
    const [gAt, mAt, gobuf] = [layouts.of('g'), layouts.of('m'), layouts.of('gobuf')];
    const sched = (owner: Addr, field: 'pc' | 'sp' | 'lr'): Addr =>
      plus(owner, gAt.offset('sched') + gobuf.offset(field));
    const stack = gAt.offset('stack');
    this.#addresses = new Map([
      ['g.sched.pc', sched(g.addr, 'pc')],
      ['g.sched.sp', sched(g.addr, 'sp')],
      ['g.sched.lr', sched(g.addr, 'lr')],
      ['g.stktopsp', plus(g.addr, gAt.offset('stktopsp'))],
      ['g.syscallpc', plus(g.addr, gAt.offset('syscallpc'))],
      ['g.syscallsp', plus(g.addr, gAt.offset('syscallsp'))],
      ...(m === null
        ? []
        : ([
            ['m.vdsoPC', plus(m.addr, mAt.offset('vdsoPC'))],
            ['m.vdsoSP', plus(m.addr, mAt.offset('vdsoSP'))],
            ['g0.sched.sp', sched(m.g0, 'sp')],
            ['gsignal.stack.lo', plus(m.gsignal, stack)],
            ['gsignal.stack.hi', plus(m.gsignal, stack + 8)],
          ] as const)),
    ]);
  }

  /** A used word as users see it; a field of the runtime's with its address, and with the value that it has there. */
  explain({ name, addr, value }: UsedWord): ExplainedWord {
    const at = addr ?? this.#addresses.get(name) ?? null;
    const read = addr === null && at !== null ? this.#valueAt(at as Addr) : value;
    return { name, addr: at === null ? null : hex(at), value: read === null ? null : hex(read) };
  }

  #valueAt(at: Addr): bigint | null {
    return onFault(
      () => this.#program.memory.u64(at),
      () => null,
    );
  }
}
