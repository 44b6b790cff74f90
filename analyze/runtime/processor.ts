import type { Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** The status of a P in words, as runtime2.go names it: _Pidle and so on. */
export type ProcessorStatus = 'idle' | 'running' | 'syscall' | 'gcstop' | 'dead';

/** runtime.p (runtime2.go): the right to run Go code. */
export interface P {
  readonly addr: Addr;
  readonly id: number;
  /** As the runtime has it; what that is in a system call depends on the release (GoRelease.statusInSyscall). */
  readonly status: ProcessorStatus;
  readonly schedtick: number;
  readonly syscalltick: number;
  /** The M that holds it, or 0. */
  readonly m: Addr;
  /** Goroutines in its local run queue without p.runnext (runqtail - runqhead). */
  readonly runqsize: number;
  /** nanotime() when sysmon first saw its present schedtick; null if sysmon has not seen it yet. */
  readonly sameSince: number | null;
}

/** By number: _Pidle and so on (runtime2.go). */
export const PROCESSOR_STATUSES: readonly ProcessorStatus[] = ['idle', 'running', 'syscall', 'gcstop', 'dead'];
/** A longer list is damaged. */
export const MAX_PROCESSORS = 1 << 16;
const TWO_32 = 2 ** 32;

/** Returns the Ps that can be read, in the order of runtime.allp, and in `damage` why others cannot, as a sentence. */
export function readProcessors(
  memory: Memory,
  layouts: Layouts,
  { allp }: { readonly allp: Addr },
): { processors: P[]; damage: string | null } {
  const reader = new ProcessorReader(memory, layouts);
  return onFault(
    () => {
      const list = memory.ptr(allp);
      const length = memory.word(allp, 8);
      if (length > MAX_PROCESSORS) throw new MemoryFault(allp, `its length is ${length}`);
      return readEach(length, (i) => reader.read(memory.ptr(list, 8 * i)));
    },
    ({ message }) => ({ processors: [], damage: `runtime.allp, the list of Ps, cannot be read: ${message}` }),
  );
}

function readEach(length: number, read: (index: number) => P): { processors: P[]; damage: string | null } {
  const processors: P[] = [];
  let first: MemoryFault | null = null;
  for (let i = 0; i < length; i++) {
    onFault(
      () => processors.push(read(i)),
      (fault) => (first ??= fault),
    );
  }
  return { processors, damage: describeDamage(length - processors.length, length, first) };
}

function describeDamage(unreadable: number, length: number, first: MemoryFault | null): string | null {
  return first === null ? null : `${unreadable} of ${length} Ps cannot be read: ${first.message}`;
}

/** Reads Ps with the offsets of one release. */
class ProcessorReader {
  readonly #memory: Memory;
  readonly #at;

  constructor(memory: Memory, layouts: Layouts) {
    const p = layouts.of('p');
    const tick = layouts.of('sysmontick');
    this.#memory = memory;
    this.#at = {
      id: p.offset('id'),
      status: p.offset('status'),
      schedtick: p.offset('schedtick'),
      syscalltick: p.offset('syscalltick'),
      m: p.offset('m'),
      runqhead: p.offset('runqhead'),
      runqtail: p.offset('runqtail'),
      seenTick: p.offset('sysmontick') + tick.offset('schedtick'),
      seenWhen: p.offset('sysmontick') + tick.offset('schedwhen'),
    };
  }

  /** Throws MemoryFault where it is absent or its status is not one. */
  read(p: Addr): P {
    const memory = this.#memory;
    const at = this.#at;
    const number = memory.u32(p, at.status);
    const status = PROCESSOR_STATUSES[number];
    if (status === undefined) throw new MemoryFault(p, `${number} is not a status of a P`);
    const schedtick = memory.u32(p, at.schedtick);
    const seenWhen = memory.word(p, at.seenWhen);
    return {
      addr: p,
      id: memory.i32(p, at.id),
      status,
      schedtick,
      syscalltick: memory.u32(p, at.syscalltick),
      m: memory.ptr(p, at.m),
      runqsize: (memory.u32(p, at.runqtail) - memory.u32(p, at.runqhead) + TWO_32) % TWO_32,
      sameSince: seenWhen !== 0 && memory.u32(p, at.seenTick) === schedtick ? seenWhen : null,
    };
  }
}
