import t from 'tap';
import type { FunctionTable } from '../../analyze/binary/function-table.js';
import { CodeIndex, CodePoint } from '../../analyze/stacks/code-index.js';
import { releaseOf } from '../../analyze/runtime/releases.js';
import type { MachineState, UnwindStart } from '../../analyze/stacks/unwind-start.js';
import { Unwinder } from '../../analyze/stacks/unwind.js';
import { addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';

/** Stacks that are laid out here by hand, as the runtime's assembly leaves them: no Go program is run. */

const MEMORY = new Memory(new SegmentSource([]));
const USER = { lo: 0x10000, hi: 0x20000 };
const SYSTEM_SP = 0x38000;
const SIGNAL = { lo: 0x50000, hi: 0x58000 };
const OUTSIDE = 0x7f0000;
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
  { name: 'runtime.mcall', size: 16, flag: SP_WRITE },
  { name: 'runtime.morestack', size: 16, flag: SP_WRITE },
  { name: 'runtime.newstack', size: 64 },
  { name: 'runtime.systemstack', size: 16, flag: SP_WRITE },
  { name: 'runtime.gogo', size: 0, flag: SP_WRITE },
  { name: 'runtime.cgocallback', size: 24, flag: SP_WRITE },
  { name: 'runtime.nanotime1', size: 32, flag: SP_WRITE },
  { name: 'runtime.racecall', size: 0, flag: SP_WRITE },
  { name: 'runtime.rt', size: 0, flag: SP_WRITE },
  { name: 'runtime.sigtramp', size: 64 },
  { name: 'runtime.sigreturn__sigaction', size: 0 },
  { name: 'runtime.(*sigctxt).pushCall', size: 32 },
  { name: 'runtime.asyncPreempt', size: 128 },
  { name: 'external', size: null },
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
function pc(name: string): number {
  const found = FUNCS.find(({ func }) => func.name === name);
  if (found === undefined) throw new Error(`${name} is not made up`);
  return found.func.entry + BYTES / 2;
}

/** The functions above; those named in `prologue` have no frame yet. */
class MadeUpCode extends CodeIndex {
  readonly #prologue: readonly string[];

  constructor(prologue: readonly string[]) {
    super(MEMORY, [], releaseOf({ minor: 26 }));
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
    return new CodePoint(at, found.func, table as unknown as FunctionTable, this.symbolizer);
  }
}

interface Walk {
  readonly at: readonly [pc: number, sp: number, lr?: number];
  /** Words of memory by address. */
  readonly words: Readonly<Record<number, number>>;
  /** g.sched; none: the thread runs no goroutine. */
  readonly sched?: readonly [pc: number, sp: number];
  readonly machine?: Partial<MachineState> | null;
  readonly trap?: boolean;
  readonly syscall?: boolean;
  readonly prologue?: readonly string[];
}

/** Walks, and gives the rule of each step, the functions of the frames, and why the stack ends early. */
function walk(arch: Arch, { at, words, sched, machine, trap, syscall, prologue }: Walk): unknown {
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
      ? { lo: 0, hi: 0, sched: { pc: 0, sp: 0, lr: 0 } }
      : { ...USER, sched: { pc: sched[0], sp: sched[1], lr: 0 } };
  const start: UnwindStart = {
    registers: { pc: at[0], sp: at[1], lr: at[2] ?? 0 },
    trap: trap ?? true,
    syscall: syscall ?? false,
    user,
    machine: machine === null ? null : { systemSp: SYSTEM_SP, signal: SIGNAL, vdso: { pc: 0, sp: 0 }, ...machine },
  };
  const { frames, truncated } = unwinder.unwind(start);
  return [rules.join(' '), frames.map(({ point, sp }) => `${point.func.name}@${sp.toString(16)}`).join(' '), truncated];
}

/** A goroutine that stands in main.caller, called by nobody but goexit, with SP at 0x11000. */
const CALLER_SP = 0x11000;
const OUTER: Readonly<Record<Arch, Readonly<Record<number, number>>>> = {
  amd64: { [CALLER_SP + 48]: pc('runtime.goexit') },
  arm64: { [CALLER_SP]: pc('runtime.goexit') },
};
const OUTER_SP: Readonly<Record<Arch, number>> = { amd64: CALLER_SP + 56, arm64: CALLER_SP + 48 };

function outer(arch: Arch): string {
  return `main.caller@${CALLER_SP.toString(16)} runtime.goexit@${OUTER_SP[arch].toString(16)}`;
}

/** The signal frame of the kernel at `at`: where the code that was interrupted stood. */
function signalFrame(arch: Arch, at: number, [pc, sp, lr]: readonly [number, number, number?]): Record<number, number> {
  const ucontext = arch === 'amd64' ? at : at + 128;
  return {
    [ucontext + 16]: SIGNAL.lo,
    [ucontext + 32]: SIGNAL.hi - SIGNAL.lo,
    ...(arch === 'amd64'
      ? { [ucontext + 168]: pc, [ucontext + 160]: sp }
      : { [ucontext + 440]: pc, [ucontext + 432]: sp, [ucontext + 424]: lr ?? 0 }),
  };
}

/** Frames on amd64 and arm64: where the return address of one at `sp` lies, and the SP of its caller. */
function frame(arch: Arch, sp: number, size: number): { slot: number; callerSp: number } {
  return arch === 'amd64' ? { slot: sp + size, callerSp: sp + size + 8 } : { slot: sp, callerSp: sp + size };
}

/** A thread in pushCall, called by sigtramp, on the signal stack; `interrupted` is what its signal frame holds. */
function inPushCall(arch: Arch, interrupted: readonly [number, number, number?], words: Record<number, number>): Walk {
  const sp = 0x51000;
  const { slot, callerSp } = frame(arch, sp, 32);
  return {
    at: [pc('runtime.(*sigctxt).pushCall'), sp],
    sched: [pc('main.caller'), CALLER_SP],
    words: {
      ...OUTER[arch],
      [slot]: pc('runtime.sigtramp'),
      ...signalFrame(arch, frame(arch, callerSp, 64).callerSp, interrupted),
      ...words,
    },
  };
}

const HANDLER: Readonly<Record<Arch, string>> = {
  amd64: 'runtime.(*sigctxt).pushCall@51000 runtime.sigtramp@51028',
  arm64: 'runtime.(*sigctxt).pushCall@51000 runtime.sigtramp@51020',
};

t.test('rules: a signal handler that is half-way through faking a call on arm64 ends the stack', (t) => {
  const half = inPushCall('arm64', [pc('main.caller'), CALLER_SP - 16, pc('main.work')], {});
  t.same(walk('arm64', half), [
    'return-address half-faked-call',
    HANDLER.arm64,
    'its signal handler is about to make it call something',
  ]);
  const done = inPushCall('arm64', [pc('runtime.asyncPreempt'), CALLER_SP - 16, pc('main.caller')], {
    [CALLER_SP - 16]: 0,
  });
  t.same(walk('arm64', { ...done, prologue: ['runtime.asyncPreempt'] }), [
    'return-address signal-frame faked-call return-address top-frame',
    `${HANDLER.arm64} runtime.asyncPreempt@10ff0 ${outer('arm64')}`,
    null,
  ]);
  t.end();
});

t.test('rules: a signal handler that is half-way through faking a call on amd64 is undone', (t) => {
  const at = pc('main.caller');
  const pushed = inPushCall('amd64', [at, CALLER_SP - 8], { [CALLER_SP - 8]: at });
  t.same(walk('amd64', pushed), [
    'return-address undone-call return-address top-frame',
    `${HANDLER.amd64} ${outer('amd64')}`,
    null,
  ]);
  const resumedElsewhere = inPushCall('amd64', [at, CALLER_SP - 8], { [CALLER_SP - 8]: at + 4 });
  t.same(walk('amd64', resumedElsewhere), [
    'return-address half-faked-call',
    HANDLER.amd64,
    'its signal handler is about to make it call something',
  ]);
  const notYet = inPushCall('amd64', [at, CALLER_SP], { [CALLER_SP]: 17 });
  t.same(walk('amd64', notYet), [
    'return-address signal-frame return-address top-frame',
    `${HANDLER.amd64} ${outer('amd64')}`,
    null,
  ]);
  t.end();
});

for (const arch of ['amd64', 'arm64'] as const) {
  const inCaller = { sched: [pc('main.caller'), CALLER_SP] as const };
  const resumed = `return-address top-frame`;

  t.test(`rules: ordinary calls lead to the outermost function (${arch})`, (t) => {
    t.same(
      walk(arch, { at: [pc('main.caller'), CALLER_SP], words: OUTER[arch], trap: false, machine: null }),
      ['return-address top-frame', outer(arch), null],
      'parked',
    );
    const leafSp = arch === 'amd64' ? CALLER_SP - 8 : CALLER_SP;
    t.same(
      walk(arch, {
        ...{ ...inCaller, at: [pc('main.leaf'), leafSp, pc('main.caller')] },
        words: { ...OUTER[arch], ...(arch === 'amd64' ? { [leafSp]: pc('main.caller') } : {}) },
      }),
      [
        `${arch === 'amd64' ? 'return-address' : 'link-register'} ${resumed}`,
        `main.leaf@${leafSp.toString(16)} ${outer(arch)}`,
        null,
      ],
      'in a function without a frame',
    );
    t.same(
      walk(arch, { at: [pc('external'), CALLER_SP], words: {}, trap: false }),
      ['unknown-frame-size', '', 'no frame information for external'],
      'no table',
    );
    t.end();
  });

  t.test(`rules: a call of a nil function begins in its caller (${arch})`, (t) => {
    const sp = arch === 'amd64' ? CALLER_SP - 8 : CALLER_SP;
    const words = { ...OUTER[arch], [sp]: pc('main.caller') };
    t.match(walk(arch, { ...inCaller, at: [0, sp], words }), [/^nil-call return-address/, /^main.caller@/]);
    t.end();
  });

  t.test(`rules: a switch to the system stack leads back to the goroutine (${arch})`, (t) => {
    const work = (into: string, sp = SYSTEM_SP - 0x100): Walk => {
      const { slot } = frame(arch, sp, 32);
      return { ...inCaller, at: [pc('main.work'), sp], words: { ...OUTER[arch], [slot]: pc(into) } };
    };
    for (const left of ['mcall', 'morestack']) {
      t.same(walk(arch, work(`runtime.${left}`)), [
        `return-address ${left} ${resumed}`,
        `main.work@37f00 ${outer(arch)}`,
        null,
      ]);
    }
    const { slot, callerSp } = frame(arch, 0x10f00, 16);
    const switched = {
      ...work('runtime.systemstack'),
      sched: [pc('runtime.systemstack'), 0x10f00] as const,
    };
    const words = { ...switched.words, [slot]: pc('main.caller') };
    const shifted = Object.fromEntries(
      Object.entries(OUTER[arch]).map(([at, value]) => [Number(at) - CALLER_SP + callerSp, value]),
    );
    t.same(walk(arch, { ...switched, words: { ...words, ...shifted } }), [
      `return-address system-stack-switch ${resumed}`,
      `main.work@37f00 runtime.systemstack@10f00 main.caller@${callerSp.toString(16)} ` +
        `runtime.goexit@${(callerSp + OUTER_SP[arch] - CALLER_SP).toString(16)}`,
      null,
    ]);
    t.same(
      (walk(arch, { ...inCaller, at: [pc('runtime.gogo'), CALLER_SP], words: OUTER[arch] }) as string[])[0],
      `gogo ${resumed}`,
      'about to jump back',
    );
    t.same(
      walk(arch, { ...inCaller, at: [pc('runtime.rt'), SYSTEM_SP - 64], words: {} }),
      ['stack-switch', 'runtime.rt@37fc0', 'runtime.rt switches stacks'],
      'a function that nothing is known of',
    );
    t.end();
  });

  t.test(`rules: code that is not Go's leads back to what called it (${arch})`, (t) => {
    const outside: Walk = {
      ...inCaller,
      at: [OUTSIDE, SYSTEM_SP - 0x40],
      words: { ...OUTER[arch], [SYSTEM_SP - 8]: 0 },
    };
    t.same(walk(arch, outside), [`outside-go ${resumed}`, outer(arch), null], 'C code, called by asmcgocall');
    t.same(
      walk(arch, { ...outside, words: { ...OUTER[arch], [SYSTEM_SP - 8]: pc('runtime.racecall') } }),
      ['unknown-c-caller', '', 'in C code that keeps no trace of its caller'],
      'called by racecall',
    );
    const vdso = { vdso: { pc: pc('main.caller'), sp: CALLER_SP } };
    t.same(walk(arch, { ...outside, machine: vdso }), [`vdso ${resumed}`, outer(arch), null], 'the vDSO');
    t.same(
      walk(arch, { at: [OUTSIDE, SYSTEM_SP - 0x40], words: {} }),
      ['unknown-code', '', `no Go function at 0x${OUTSIDE.toString(16)}`],
      'a thread without a goroutine',
    );
    const clockSp = arch === 'amd64' ? CALLER_SP - 8 - 32 : CALLER_SP - 32;
    const clock: Walk = {
      ...{ ...inCaller, at: [pc('runtime.nanotime1'), SYSTEM_SP - 0x40, pc('main.caller')], machine: vdso },
      words: { ...OUTER[arch], [arch === 'amd64' ? CALLER_SP - 8 : clockSp]: pc('main.caller') },
    };
    t.match(walk(arch, clock), [/^vdso-clock return-address/, new RegExp(`^runtime.nanotime1@.* main.caller@`), null]);
    t.end();
  });

  t.test(`rules: the end of a signal handler leads back to what it interrupted (${arch})`, (t) => {
    const sp = 0x51000;
    const interrupted = [pc('main.caller'), CALLER_SP] as const;
    const words = { ...OUTER[arch], ...signalFrame(arch, sp, interrupted) };
    t.same(
      walk(arch, { ...inCaller, at: [OUTSIDE, sp], words }),
      [`c-signal-frame ${resumed}`, outer(arch), null],
      "in the C library's restorer",
    );
    t.same(
      walk(arch, { ...inCaller, at: [pc('runtime.sigreturn__sigaction'), sp], words }),
      [`sigreturn ${resumed}`, `runtime.sigreturn__sigaction@51000 ${outer(arch)}`, null],
      "in Go's restorer",
    );
    t.same(
      walk(arch, { ...inCaller, at: [OUTSIDE, sp], words: { ...words, [sp + (arch === 'amd64' ? 16 : 144)]: 1 } }),
      ['c-signal-handler', '', 'in C code that handles a signal'],
      'in a handler that C calls',
    );
    t.end();
  });

  t.test(`rules: a stack ends where its memory is absent, with the rule that needed it (${arch})`, (t) => {
    const slot = arch === 'amd64' ? CALLER_SP + 48 : CALLER_SP;
    t.same(walk(arch, { ...inCaller, at: [pc('main.caller'), CALLER_SP], words: {} }), [
      'return-address',
      `main.caller@${CALLER_SP.toString(16)}`,
      `no memory at 0x${slot.toString(16)} in the image`,
    ]);
    t.end();
  });
}

t.test('rules: systemstack on arm64, called on the system stack, has not switched while it has no frame', (t) => {
  const sp = SYSTEM_SP - 0x40;
  t.same(
    walk('arm64', {
      ...{ at: [pc('runtime.systemstack'), sp, pc('runtime.mcall')], prologue: ['runtime.systemstack'] },
      ...{ sched: [pc('main.caller'), CALLER_SP], words: OUTER.arm64 },
    }),
    ['link-register mcall return-address top-frame', `runtime.systemstack@37fc0 ${outer('arm64')}`, null],
  );
  t.end();
});

t.test('rules: cgocallback leads on to where Go had called C', (t) => {
  const { slot, callerSp } = frame('amd64', CALLER_SP - 32, 24);
  t.equal(callerSp, CALLER_SP);
  t.same(
    walk('amd64', {
      ...{ at: [pc('runtime.cgocallback'), CALLER_SP - 32], trap: false, machine: null },
      words: { ...OUTER.amd64, [slot]: pc('main.caller') },
    }),
    ['cgo-callback return-address top-frame', `runtime.cgocallback@10fe0 ${outer('amd64')}`, null],
  );
  t.end();
});
