import type { ImageWarning } from '../../snapshots/image.js';
import type { GoProgram } from '../../analyze/program.js';
import { positionsOf } from '../../analyze/runtime/memory-ranges.js';
import { readFreeze, type Freeze } from '../process/frozen.js';
import type { LiveProcess } from '../process/live-process.js';
import { UNSTOPPED, type CapturedCopies } from './capture-metadata.js';
import { Copies } from './copies.js';
import { planLive } from './look-again.js';
import type { Survey } from './plan.js';
import type { Packing } from './stored-stacks.js';

/** A process that is thawed and frozen again as it is copied is copied so often; then it is one that runs. */
const TRIES = 3;

/**
 * Copies a process that stands still because its cgroup is frozen: nothing is waited for, and no thread is touched. Returns
 * null if it is not frozen, or did not stay so. `inspect` looks into it for as long as it likes.
 */
export async function copyFrozen(
  target: LiveProcess,
  surveyed: Survey,
  packing: Packing,
  inspect?: (programs: readonly GoProgram[]) => Promise<void>,
): Promise<CapturedCopies | null> {
  for (let tries = 0; tries < TRIES; tries++) {
    const freeze = readFreeze(target.pid, target.arch);
    if (freeze === null) return null;
    const at = target.clocks();
    const threads = target
      .threads()
      .map((thread) => ({ ...thread, registers: freeze.registers.get(thread.tid) ?? null }));
    const copies = new Copies(surveyed, planLive(surveyed, target), target);
    await copies.prepare(packing);
    copies.readAhead();
    copies.readStopped(positionsOf(threads, ({ namespaceTid }) => namespaceTid));
    const memory = target.memory();
    await inspect?.(surveyed.programs.map((program) => program.over({ memory, threads })));
    if (readFreeze(target.pid, target.arch)?.fingerprint !== freeze.fingerprint) continue;
    const facts = { ...at, ...UNSTOPPED, partial: false, warnings: [frozenWarning(freeze)], torn: [] };
    return { copies, metadata: { threads, facts } };
  }
  return null;
}

/** Says that a process is frozen. */
export function frozenWarning({ by }: Freeze): ImageWarning {
  return {
    code: 'process-frozen',
    message: `the process is frozen ${by}: it stands still by itself, was not touched, and stays frozen`,
  };
}
