import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { ImageWarning } from '../../snapshots/image.js';
import { cgroupsOf, countIn, linesOf, type Cgroup } from '../process/cgroup.js';

/** How often the beginning of a period is looked for, in milliseconds, and for how many periods at most. */
const LOOK_MS = 1;
const MOST_PERIODS = 2;

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
  readonly #limit: Limit;
  readonly #throttledBefore: number;
  #usedBefore = process.cpuUsage();

  private constructor(limit: Limit) {
    this.#limit = limit;
    this.#throttledBefore = this.#count('nr_throttled');
  }

  /** The tightest limit; null if there is none, or none that can be seen. `root` is where /proc and the cgroups are looked for. */
  static find(root = '/'): CpuQuota | null {
    const limits = cgroupsOf('self', 'cpu', root).flatMap(({ version, folders }) =>
      folders.flatMap((folder) => limitOf(folder, version) ?? []),
    );
    const [tightest] = limits.sort((a, b) => a.quotaUs / a.periodUs - b.quotaUs / b.periodUs);
    return tightest === undefined ? null : new CpuQuota(tightest);
  }

  /**
   * If the time was used up in any period since gospy looked first, waits until the next one begins, in which all of it is still
   * there: for two periods at most.
   */
  async awaitPeriod(): Promise<void> {
    if (!this.#wasThrottled) return;
    const before = this.#count('nr_periods');
    const until = performance.now() + (MOST_PERIODS * this.#limit.periodUs) / 1000;
    while (this.#count('nr_periods') === before && performance.now() < until) await setTimeout(LOOK_MS);
    this.#usedBefore = process.cpuUsage();
  }

  /** True if gospy has used half of the time since the period began that it waited for. */
  get isHalfUsed(): boolean {
    if (!this.#wasThrottled) return false;
    const { user, system } = process.cpuUsage(this.#usedBefore);
    return user + system >= this.#limit.quotaUs / 2;
  }

  get #wasThrottled(): boolean {
    return this.#count('nr_throttled') > this.#throttledBefore;
  }

  /** Says that a process was kept from running meanwhile, since it is under the same limit; null if it is not, or was not. */
  warning(pid: number, root = '/'): ImageWarning | null {
    const { folder, quotaUs, periodUs } = this.#limit;
    const count = this.#count('nr_throttled') - this.#throttledBefore;
    if (!(count > 0) || !cgroupsOf(pid, 'cpu', root).some(({ folders }) => folders.includes(folder))) return null;
    const cpus = (quotaUs / periodUs).toFixed(2);
    return {
      code: 'cpu-limit',
      message:
        `gospy and the process share a limit of ${cpus} CPUs, which was used up in ${count} periods of ${periodUs / 1000} ms while ` +
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
