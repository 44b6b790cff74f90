import type { Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { Globals } from './globals.js';
import type { Layouts } from './layouts.js';

/** Status words of a P, as runtime2.go's _Pidle... are known to users. */
export type ProcessorStatus = 'idle' | 'running' | 'syscall' | 'gcstop' | 'dead';

/** runtime.p (runtime2.go): the right to run Go code. */
export interface P {
  readonly addr: Addr;
  readonly id: number;
  /** As the word says; from Go 1.26 on, a P whose goroutine is in a system call says running. */
  readonly status: ProcessorStatus;
  readonly schedtick: number;
  readonly syscalltick: number;
  /** The M that holds it, or 0. */
  readonly m: Addr;
  /** Goroutines in its local run queue, runnext not among them (runqtail - runqhead). */
  readonly runqsize: number;
  /** nanotime() when sysmon first saw it at its present schedtick; null where it has scheduled since, or never was seen. */
  readonly sameSince: number | null;
}

const STATUS: readonly ProcessorStatus[] = ['idle', 'running', 'syscall', 'gcstop', 'dead'];
const MAX_PROCESSORS = 1 << 16;
const TWO_32 = 2 ** 32;

/** All Ps. Throws MemoryFault where runtime.allp or one of them is absent or damaged. */
export function readProcessors(memory: Memory, layouts: Layouts, globals: Globals): P[] {
  const layout = layouts.of('p');
  const tick = layouts.of('sysmontick');
  const seen = layout.offset('sysmontick') + tick.offset('schedtick');
  const when = layout.offset('sysmontick') + tick.offset('schedwhen');
  const list = memory.ptr(globals.allp);
  const length = memory.word(globals.allp, 8);
  if (length > MAX_PROCESSORS) throw new MemoryFault(globals.allp, `runtime.allp has an absurd length: ${length}`);
  const out: P[] = [];
  for (let i = 0; i < length; i++) {
    const p = memory.ptr(list, 8 * i);
    const number = memory.u32(p, layout.offset('status'));
    const status = STATUS[number];
    if (status === undefined) throw new MemoryFault(p, `${number} is no status of a P`);
    const [head, tail] = [memory.u32(p, layout.offset('runqhead')), memory.u32(p, layout.offset('runqtail'))];
    const schedtick = memory.u32(p, layout.offset('schedtick'));
    const schedwhen = memory.word(p, when);
    out.push({
      addr: p,
      id: memory.i32(p, layout.offset('id')),
      status,
      schedtick,
      syscalltick: memory.u32(p, layout.offset('syscalltick')),
      m: memory.ptr(p, layout.offset('m')),
      runqsize: (tail - head + TWO_32) % TWO_32,
      sameSince: schedwhen !== 0 && memory.u32(p, seen) === schedtick ? schedwhen : null,
    });
  }
  return out;
}
