import type { Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { Globals } from './globals.js';
import type { Layouts } from './layouts.js';

/** runtime.m (runtime2.go): an OS thread as the scheduler sees it. */
export interface M {
  readonly addr: Addr;
  readonly id: number;
  /** What gettid() returned inside the process; 0 for extra Ms, which wait for threads that C makes. */
  readonly procid: number;
  readonly g0: Addr;
  readonly gsignal: Addr;
  /** The goroutine that it runs, or 0. */
  readonly curg: Addr;
  /** The P that it holds, or 0. */
  readonly p: Addr;
  readonly lockedg: Addr;
  /**
   * While it asks the kernel for the time, the return address and stack pointer of the caller, the latter short of
   * GoRelease.vdsoSpShift; else `vdsoSP` is 0 (nanotime1 and walltime in sys_linux_*.s).
   */
  readonly vdsoPC: number;
  readonly vdsoSP: number;
}

/** A longer list is damaged. */
export const MAX_MACHINES = 1 << 17;

/**
 * Returns all Ms, newest first, through m.alllink, which ends at m0: the first M is never taken out of the list (mexit in
 * proc.go). Where a link is damaged, those up to it, and in `damage` why.
 */
export function readMachines(
  memory: Memory,
  layouts: Layouts,
  globals: Globals,
): { machines: M[]; damage: string | null } {
  const layout = layouts.of('m');
  const at = {
    id: layout.offset('id'),
    procid: layout.offset('procid'),
    g0: layout.offset('g0'),
    gsignal: layout.offset('gsignal'),
    curg: layout.offset('curg'),
    p: layout.offset('p'),
    lockedg: layout.offset('lockedg'),
    vdsoPC: layout.offset('vdsoPC'),
    vdsoSP: layout.offset('vdsoSP'),
  };
  const machines: M[] = [];
  const seen = new Set<Addr>();
  return onFault(
    () => {
      for (let m = memory.ptr(globals.allm); m !== 0; m = memory.ptr(m, globals.alllink)) {
        if (seen.has(m) || seen.size >= MAX_MACHINES) return { machines, damage: 'the list of Ms is a circle' };
        seen.add(m);
        machines.push({
          addr: m,
          id: memory.word(m, at.id),
          procid: memory.word(m, at.procid),
          g0: memory.ptr(m, at.g0),
          gsignal: memory.ptr(m, at.gsignal),
          curg: memory.ptr(m, at.curg),
          p: memory.ptr(m, at.p),
          lockedg: memory.ptr(m, at.lockedg),
          vdsoPC: memory.word(m, at.vdsoPC),
          vdsoSP: memory.word(m, at.vdsoSP),
        });
      }
      const isWhole = machines.at(-1)?.addr === globals.m0;
      return { machines, damage: isWhole ? null : 'the list of Ms ends before the first one' };
    },
    ({ message }) => ({ machines, damage: `the list of Ms ends early: ${message}` }),
  );
}
