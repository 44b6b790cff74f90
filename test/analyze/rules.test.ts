import t from 'tap';
import type { Arch } from '../../snapshots/arch.js';
import {
  CALLER_SP,
  frame,
  OUTER,
  OUTER_SP,
  outer,
  OUTSIDE,
  pc,
  signalFrame,
  SYSTEM_SP,
  USER,
  walk,
  type Walk,
} from '../support/made-up-stacks.js';

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
      walk(arch, { ...inCaller, at: [pc('main.caller'), CALLER_SP], words: OUTER[arch], trap: false, machine: null }),
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
    const topSp = OUTER_SP[arch] - CALLER_SP + callerSp;
    t.same(walk(arch, { ...switched, topSp, words: { ...words, ...shifted } }), [
      `return-address system-stack-switch ${resumed}`,
      `main.work@37f00 runtime.systemstack@10f00 main.caller@${callerSp.toString(16)} ` +
        `runtime.goexit@${topSp.toString(16)}`,
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
      ['unknown-c-caller', '', 'in C code of the race detector, whose caller is not certain'],
      'called by racecall, without R12',
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

t.test('rules: C code of the race detector leads to the caller by what racecall kept in R12', (t) => {
  const sp = SYSTEM_SP - 0x40;
  const kept = CALLER_SP - 8;
  const caller = pc('main.caller');
  const work = pc('main.work');
  const stack = Object.fromEntries(Array.from({ length: 24 }, (_, i) => [SYSTEM_SP - 8 * (i + 1), 0]));
  /** A call of racewrite right before `from`. */
  const call = (from: number): Record<number, number> => ({
    [from - 8]: (pc('runtime.racewrite') - from) * 2 ** 32 + 0xe8 * 2 ** 24,
  });
  const words = { ...OUTER.amd64, ...stack, ...call(caller), [SYSTEM_SP - 8]: pc('runtime.racecall'), [kept]: caller };
  const inC: Walk = { at: [OUTSIDE, sp], sched: [work, CALLER_SP - 0x80], words };
  const whole = [
    'race-call return-address return-address top-frame',
    `runtime.racecall@${kept.toString(16)} ${outer('amd64')}`,
    null,
  ];
  t.same(walk('amd64', { ...inC, r12: kept }), whole, 'it is still in R12');
  t.same(walk('amd64', { ...inC, at: [pc('external'), sp], r12: kept }), whole, 'in C code that Go has linked');
  t.same(walk('amd64', { ...inC, at: [pc('runtime.racecallbackthunk'), sp], r12: kept }), whole, 'in what that calls');
  t.same(walk('amd64', { ...inC, r12: 5, words: { ...words, [sp + 8]: kept } }), whole, 'it is stored');
  const left = kept - 8 - 32;
  const stale = { ...call(work), [left]: work, [sp + 16]: left };
  t.same(walk('amd64', { ...inC, r12: kept, words: { ...words, ...stale } }), whole, 'an earlier one is stored too');
  t.same(
    walk('amd64', { ...inC, r12: USER.hi, words: { ...words, [sp + 8]: kept } }),
    whole,
    'R12 is the end of the stack',
  );
  const uncertain = ['unknown-c-caller', '', 'in C code of the race detector, whose caller is not certain'];
  t.same(walk('amd64', { ...inC, r12: 5 }), uncertain, 'it is not found');
  t.same(walk('amd64', { ...inC, r12: kept, topSp: CALLER_SP }), uncertain, 'the stack does not lead to its end');
  // racewrite itself calls racecall, so that two values lead to the end of the stack.
  const racewrite = pc('runtime.racewrite');
  const deeper = kept - 8;
  const callOfRacecall = (pc('runtime.racecall') - racewrite) * 2 ** 32 + 0xe8 * 2 ** 24;
  const two = { ...words, [racewrite - 8]: callOfRacecall, [deeper]: racewrite };
  const inTwo = (r12: number, stored: Record<number, number>): unknown =>
    walk('amd64', { ...inC, r12, words: { ...two, ...stored } });
  const wrapped = [
    'race-call return-address return-address return-address top-frame',
    `runtime.racecall@${deeper.toString(16)} runtime.racewrite@${kept.toString(16)} ${outer('amd64')}`,
    null,
  ];
  t.same(inTwo(deeper, { [sp + 16]: kept }), wrapped, 'what is in R12 comes before what is stored');
  t.same(inTwo(kept, { [sp + 16]: deeper }), whole);
  t.same(inTwo(5, { [sp + 16]: kept, [sp - 16]: deeper }), whole, 'what is below SP is left over');
  t.same(inTwo(5, { [sp + 16]: kept, [sp + 8]: deeper }), uncertain, 'two are stored');
  t.same(
    walk('amd64', { ...inC, r12: deeper, words: { ...words, [SYSTEM_SP - 8]: pc('asancall'), [deeper]: 0x1234 } }),
    [whole[0], `asancall@${deeper.toString(16)} ${outer('amd64')}`, null],
    'asancall has stored RBP',
  );
  t.same(walk('amd64', { ...inC, at: [pc('runtime.racecall'), sp], r12: kept }), [
    'race-call return-address top-frame',
    `runtime.racecall@${kept.toString(16)} ${outer('amd64')}`,
    null,
  ]);
  t.end();
});

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
      sched: [pc('main.caller'), CALLER_SP],
      words: { ...OUTER.amd64, [slot]: pc('main.caller') },
    }),
    ['cgo-callback return-address top-frame', `runtime.cgocallback@10fe0 ${outer('amd64')}`, null],
  );
  t.end();
});
