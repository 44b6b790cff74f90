import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Of a thread, as /proc shows it: policy 0 is SCHED_OTHER, 5 is SCHED_IDLE. */
export interface Class {
  readonly nice: number;
  readonly policy: number;
}

/** For how long all threads of a process ran, and waited for a CPU. */
export interface Turns {
  readonly ranNs: number;
  readonly waitedNs: number;
}

/** The classes of a process's main thread and of all others. */
export interface Phase {
  readonly main: Class;
  readonly helpers: readonly Class[];
  /** At that moment and, where the classes were reviewed just before, before that. */
  readonly turns: readonly Turns[];
}

export type Phases = Record<string, Phase>;

export interface PhasesOptions {
  /** A user to become before anything else. */
  readonly uid?: number;
  /** A Go process to open, in place of the stops of a child. */
  readonly go?: number;
  /** Whether a CPU is free: at first, and at the last review. */
  readonly isFree: boolean[];
  /** Whether gospy has waited for too long at the last review. */
  readonly isStarved?: boolean;
  /** Enters SCHED_IDLE as if started in it, then raises the priority and undoes that. */
  readonly startIdle?: true;
}

/** Runs priority-phases.js in a process of its own. */
export async function phasesOf(options: PhasesOptions): Promise<Phases> {
  const script = fileURLToPath(new URL('./priority-phases.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(options)]);
  return JSON.parse(stdout) as Phases;
}
