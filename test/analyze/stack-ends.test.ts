import t from 'tap';
import {
  CALLER_SP,
  frame,
  OUTER,
  OUTER_SP,
  outer,
  pc,
  SYSTEM_SP,
  USER,
  walk,
  type Walk,
} from '../support/made-up-stacks.js';

/** Where a stack ends, and when it is whole. */

for (const arch of ['amd64', 'arm64'] as const) {
  const parked = { at: [pc('main.caller'), CALLER_SP] as const, sched: [pc('main.caller'), CALLER_SP] as const };
  const slot = arch === 'amd64' ? CALLER_SP + 48 : CALLER_SP;
  const caller = `main.caller@${CALLER_SP.toString(16)}`;
  const returningTo = (word: number, more: Partial<Walk> = {}): Walk => ({
    ...{ ...parked, trap: false, machine: null, words: { [slot]: word } },
    ...more,
  });

  t.test(`rules: a stack that does not end in goexit at g.stktopsp ends early (${arch})`, (t) => {
    t.same(
      walk(arch, returningTo(0)),
      ['no-caller', caller, 'the return address of main.caller is 0'],
      'a return address of 0',
    );
    t.same(
      walk(arch, returningTo(pc('external'))),
      ['return-address no-frame-size', caller, 'no frame information for external'],
      'a caller without a table of frame sizes',
    );
    const outermost = OUTER_SP[arch].toString(16);
    t.same(
      walk(arch, returningTo(pc('runtime.goexit'), { topSp: CALLER_SP + 0x200 })),
      [
        'return-address not-outermost',
        `${caller} runtime.goexit@${outermost}`,
        `runtime.goexit at 0x${outermost} is not the outermost frame`,
      ],
      'goexit in the middle',
    );
    t.same(
      walk(arch, returningTo(pc('runtime.mstart'))),
      [
        'return-address not-outermost',
        `${caller} runtime.mstart@${outermost}`,
        `runtime.mstart at 0x${outermost} is not the outermost frame`,
      ],
      'the outermost function of a thread',
    );
    t.end();
  });

  t.test(`rules: a stack that leaves its memory ends early (${arch})`, (t) => {
    const below = walk(arch, { ...returningTo(0), at: [pc('main.caller'), USER.lo] });
    t.same(below, ['', '', `0x10000 is not on the goroutine's stack, from 0x10000 to 0x20000`]);
    const sp = USER.hi - 16;
    const above = arch === 'amd64' ? sp + 56 : sp + 48;
    t.same(
      walk(arch, {
        ...returningTo(0, { words: { [arch === 'amd64' ? sp + 48 : sp]: pc('main.work') } }),
        at: [pc('main.caller'), sp],
      }),
      [
        'return-address',
        `main.caller@${sp.toString(16)}`,
        `0x${above.toString(16)} is not on the goroutine's stack, from 0x10000 to 0x20000`,
      ],
    );
    t.end();
  });

  t.test(`rules: a thread that has just started goes on with its goroutine (${arch})`, (t) => {
    const sp = SYSTEM_SP - 0x100;
    const words = { ...OUTER[arch], [frame(arch, sp, 32).slot]: pc('runtime.mstart') };
    t.same(walk(arch, { ...parked, at: [pc('main.work'), sp], words }), [
      'return-address mstart return-address top-frame',
      `main.work@37f00 ${outer(arch)}`,
      null,
    ]);
    t.same(
      walk(arch, { at: [pc('main.work'), sp], words }),
      ['return-address top-frame', `main.work@37f00 runtime.mstart@${frame(arch, sp, 32).callerSp.toString(16)}`, null],
      'without a goroutine it is the outermost function',
    );
    t.end();
  });
}

t.test('rules: a return address in a function without a frame leads nowhere on arm64', (t) => {
  const words = { [CALLER_SP]: pc('main.leaf'), [CALLER_SP + 48]: pc('main.work') };
  t.same(
    walk('arm64', { at: [pc('main.caller'), CALLER_SP], sched: [1, CALLER_SP], words, trap: false, machine: null }),
    [
      'return-address return-address',
      'main.caller@11000 main.leaf@11030',
      'the stack leads from 0x11030 back to 0x11030',
    ],
  );
  t.end();
});
