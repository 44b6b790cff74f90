import { join } from 'node:path';
import t from 'tap';
import type { Crash } from '../../analyze/report/model.js';
import { readCore } from '../support/core-goroutines.js';
import { crash } from '../support/cores.js';
import { buildGo, requireGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { CRASH_CELLS, cellName } from '../support/releases.js';
import { gospy } from './gospy-process.js';

/** What the program itself says of its end: sighandler in signal_unix.go, or printpanics and throw in panic.go. */
function told(stderr: string): Partial<Crash> {
  const thrown = /^\[signal (SIG\w+): .* code=(\w+) addr=(\w+) /m.exec(stderr);
  const caught = /^(SIG\w+): [\s\S]*?\bsigcode=(\d+)(?: addr=(\w+))?/m.exec(stderr);
  const [, signal = '', code = '', addr] = thrown ?? caught ?? [];
  const goid = [...stderr.matchAll(/^goroutine (\d+) /gm)].map(([, id]) => Number(id)).find((id) => id !== 0);
  const number = Number(BigInt.asIntN(64, BigInt(code)));
  const faulted = number > 0 && /SEGV|BUS/.test(signal);
  return { signal, code: number, goid: goid ?? null, ...(faulted && addr !== undefined ? { addr } : {}) };
}

if (requireGo(t)) {
  for (const cell of CRASH_CELLS.filter(({ link }) => link === 'cgo')) {
    t.test(`crash: a fault in C code is named, and not how the runtime ended (${cellName(cell)})`, async (t) => {
      const path = await buildGo(cell);
      for (const how of ['c-segv', 'c-fpe', 'c-ill', 'c-abort']) {
        const { core, stderr } = await crash(t, path, { args: [how] });
        const { target } = readCore(core);
        t.match(target.crash, { ...told(stderr), sender: null, endedBy: 'SIGABRT' }, how);
        if (how === 'c-segv') t.match(target.crash, { signal: 'SIGSEGV', code: 1, addr: '0x8' });
        if (how !== 'c-segv') continue;
        const snapshot = join(temporaryFolder(t), 'core.gsp');
        t.match(await gospy(['capture', '--core', core, '-o', snapshot]), { code: 0 });
        const { stdout } = await gospy(['summary', snapshot, '--json']);
        t.same(
          (JSON.parse(stdout) as { target: unknown }).target,
          { ...target, kind: 'snapshot' },
          'in a snapshot of it',
        );
        const text = await gospy(['summary', core]);
        t.match(text.stdout, /^crashed: SIGSEGV at 0x8 in goroutine \d+, on thread \d+, ended by SIGABRT\n/);
      }
    });

    t.test(`crash: a fault on a thread that is not Go's is of no goroutine (${cellName(cell)})`, async (t) => {
      const { core } = await crash(t, await buildGo(cell), { args: ['c-thread'] });
      t.match(readCore(core).target.crash, { signal: 'SIGSEGV', code: 1, addr: '0x8', goid: null, sender: null });
    });
  }

  for (const cell of CRASH_CELLS.filter(({ link, release }) => link === 'cgo' && release !== '1.19')) {
    t.test(
      `crash: what came before other handlers is named, and no false address or sender (${cellName(cell)})`,
      async (t) => {
        const path = await buildGo(cell);
        const segv = { signal: 'SIGSEGV', code: 1, addr: '0x8', sender: null, endedBy: 'SIGABRT' };
        const sent = { addr: null, sender: null, endedBy: 'SIGABRT' };
        for (const [how, expected] of [
          ['c-chained', segv],
          ['c-handled', segv],
          // An instruction and not a fault (SI_KERNEL), raise() by the program itself, and a timer of it (SI_TIMER).
          ['c-trap', { ...sent, signal: 'SIGTRAP', code: 128 }],
          ['c-raise', { ...sent, signal: 'SIGSEGV', code: -6 }],
          ['c-timer', { ...sent, signal: 'SIGQUIT', code: -2 }],
        ] as const) {
          const { core, stderr } = await crash(t, path, { args: [how] });
          const { crash: found } = readCore(core).target;
          t.match(found, expected, how);
          const { goid, ...said } = told(stderr);
          if (how === 'c-handled')
            t.match(said, { signal: 'SIGABRT' }, 'the program itself tells how the handler ended');
          else t.match(found, how === 'c-raise' ? { signal: said.signal, code: said.code } : said, how);
          if (how !== 'c-timer') t.equal(found?.goid, goid, how);
        }
      },
    );
  }

  for (const cell of CRASH_CELLS) {
    t.test(`crash: a signal from another process is named with its sender (${cellName(cell)})`, async (t) => {
      const path = await buildGo(cell);
      // Before Go 1.14, goroutines that spin cannot be preempted: the program would not get ready.
      const how = cell.release === '1.12' ? 'abort' : 'running';
      // It also passes over a fault's signal that was sent, on most stacks (sighandler in signal_sighandler.go).
      const ofFaults = cell.release === '1.12' ? [] : (['SIGSEGV', 'SIGBUS'] as const);
      // By itself it would end a program without a core.
      const ofGo = cell.link === 'plain' ? (['SIGSTKFLT'] as const) : [];
      for (const signal of ['SIGQUIT', 'SIGABRT', ...ofFaults, ...ofGo] as const) {
        const { core, stderr } = await crash(t, path, { args: [how], signal });
        const { target } = readCore(core);
        t.match(told(stderr), { signal, code: 0 });
        const { goid, ...said } = told(stderr);
        t.match(target.crash, { ...said, addr: null, sender: process.pid, endedBy: 'SIGABRT' }, signal);
        if (target.crash?.goid !== null) t.equal(target.crash?.goid, goid);
      }
    });
  }
}
