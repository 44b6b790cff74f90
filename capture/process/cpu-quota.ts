import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { ImageWarning } from '../../snapshots/image.js';
import { sleep } from './sleep.js';
import { cgroupsOf, countIn, linesOf, type Cgroup } from './cgroup.js';

/** How often the beginning of a period is looked for, in milliseconds, and for how many periods at most. */
const LOOK_MS = 1;
const MOST_PERIODS = 2;

/** What gospy takes at most of the time in a limit that it shares with the process. */
const SHARE = 0.5;
/** For so many milliseconds gospy works until it looks again how much of the time it has used. */
const TURN_MS = 2;

/** How many callers forbid a rest. */
let forbidding = 0;

/** Has {@link CpuQuota.rest} return at once, until the returned function is called, which is to be done once. */
export function forbidRest(): () => void {
  forbidding++;
  return () => {
    forbidding--;
  };
}

/** A limit on the CPU time that all in a cgroup have together in each period (sched-bwc.rst of the kernel). */
interface Limit {
  readonly quotaUs: number;
  readonly periodUs: number;
  readonly folder: string;
}

/**
 * The limit on CPU time that gospy runs under. Once it is used up, nothing in the cgroup runs until the next period begins, most of
 * 100 ms later: neither gospy, in the middle of a stop, nor the program, if that is in the same container.
 */
export class CpuQuota {
  /** Whether the process that gospy looks at is under the same limit. */
  readonly isShared: boolean;
  readonly #limit: Limit;
  readonly #throttledBefore: number;
  #wasThrottled = false;
  #usedBefore = process.cpuUsage();
  /** When the last turn began, and what had been used by then. */
  #turnBegan = performance.now();
  #usedByTurn = process.cpuUsage();

  private constructor(limit: Limit, isShared: boolean) {
    this.#limit = limit;
    this.isShared = isShared;
    this.#throttledBefore = this.#count('nr_throttled');
  }

  /**
   * The tightest limit that gospy looks at a process under; null if there is none, or none that can be seen. `root` is where /proc and
   * the cgroups are looked for.
   */
  static find(pid: number, root = '/'): CpuQuota | null {
    const limits = cgroupsOf('self', 'cpu', root).flatMap(({ version, folders }) =>
      folders.flatMap((folder) => limitOf(folder, version) ?? []),
    );
    const [tightest] = limits.sort((a, b) => a.quotaUs / a.periodUs - b.quotaUs / b.periodUs);
    if (tightest === undefined) return null;
    const isShared = cgroupsOf(pid, 'cpu', root).some(({ folders }) => folders.includes(tightest.folder));
    return new CpuQuota(tightest, isShared);
  }

  /** How many CPUs it is the time of. */
  get cpus(): number {
    return this.#limit.quotaUs / this.#limit.periodUs;
  }

  /**
   * Sleeps if gospy has used more than half of the time since it rested last, so that the other half is left to the process: if both
   * are under the same limit, and that was used up in any period since gospy looked first. To be called often in long work; each time
   * it sleeps for a period at most, since what was used up in one is there again in the next. Returns for how many milliseconds it slept.
   */
  rest(): number {
    const turnMs = performance.now() - this.#turnBegan;
    if (turnMs < TURN_MS || forbidding > 0 || !this.isShared) return 0;
    const sleptMs = this.#isThrottled ? this.#restAfter(turnMs) : 0;
    if (sleptMs > 0) sleep(sleptMs);
    this.#turnBegan = performance.now();
    this.#usedByTurn = process.cpuUsage();
    return sleptMs;
  }

  /** For how many milliseconds gospy is to sleep after a turn of this length. */
  #restAfter(turnMs: number): number {
    const { quotaUs, periodUs } = this.#limit;
    const { user, system } = process.cpuUsage(this.#usedByTurn);
    const usedMs = (user + system) / 1000;
    return Math.max(0, Math.min((usedMs * periodUs) / (SHARE * quotaUs) - turnMs, periodUs / 1000));
  }

  /**
   * If the time was used up in any period since gospy looked first, waits until the next one begins, in which all of it is still
   * there: for two periods at most.
   */
  async awaitPeriod(): Promise<void> {
    if (!this.#isThrottled) return;
    const before = this.#count('nr_periods');
    const until = performance.now() + (MOST_PERIODS * this.#limit.periodUs) / 1000;
    while (this.#count('nr_periods') === before && performance.now() < until) await setTimeout(LOOK_MS);
    this.#usedBefore = process.cpuUsage();
  }

  /** True if gospy has used half of the time since the period began that it waited for. */
  get isHalfUsed(): boolean {
    if (!this.#isThrottled) return false;
    const { user, system } = process.cpuUsage(this.#usedBefore);
    return user + system >= this.#limit.quotaUs / 2;
  }

  /** Whether the time was used up in any period since gospy looked first. */
  get #isThrottled(): boolean {
    return (this.#wasThrottled ||= this.#count('nr_throttled') > this.#throttledBefore);
  }

  /** Says that the process was kept from running meanwhile, since it is under the same limit; null if it is not, or was not. */
  warning(): ImageWarning | null {
    const { periodUs } = this.#limit;
    const count = this.#count('nr_throttled') - this.#throttledBefore;
    if (!(count > 0) || !this.isShared) return null;
    return {
      code: 'cpu-limit',
      message:
        `gospy and the process share a limit of ${this.cpus.toFixed(2)} CPUs, which was used up in ${count} periods of ${periodUs / 1000} ms while ` +
        'gospy worked: the process had to wait then, beyond the pause. Run gospy on the host, or in a container of its own',
    };
  }

  /** NaN if it cannot be read. */
  #count(name: string): number {
    return countIn(this.#limit.folder, 'cpu.stat', name) ?? NaN;
  }
}

/** Version 2 has both numbers in one file, with `max` where there is no limit; version 1 has -1 there. */
function limitOf(folder: string, version: Cgroup['version']): Limit | null {
  const first = (name: string): string => linesOf(join(folder, name))[0] ?? '';
  const text = version === 2 ? first('cpu.max') : `${first('cpu.cfs_quota_us')} ${first('cpu.cfs_period_us')}`;
  const [, quota, period] = /^(\d+) (\d+)$/.exec(text) ?? [];
  const [quotaUs, periodUs] = [Number(quota), Number(period)];
  return quotaUs > 0 && periodUs > 0 ? { quotaUs, periodUs, folder } : null;
}
