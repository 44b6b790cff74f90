import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CpuQuota } from '../../capture/process/cpu-quota.js';

/*
 * Run by cpu-quota.test.ts under a limit on CPU time, with the folder of its cgroup, the limit in microseconds and a number of rounds:
 * uses a part of a period's time that it could have several times over, right away and after waiting for a period, each time from
 * another moment of a period; then it works and rests by turns. Prints how often the kernel throttled it meanwhile.
 */
const [folder = '', quotaUs = '', rounds = ''] = process.argv.slice(2);
const PART = 0.3;
const PART_BETWEEN_RESTS = 0.05;

function throttled(): number {
  return Number(/^nr_throttled (\d+)$/m.exec(readFileSync(join(folder, 'cpu.stat'), 'utf8'))?.[1]);
}

function use(us: number): void {
  const before = process.cpuUsage();
  for (let used = 0; used < us;) {
    const { user, system } = process.cpuUsage(before);
    used = user + system;
  }
}

const quota = CpuQuota.find(process.pid);
use(2 * Number(quotaUs));
const counts = { before: 0, after: 0, resting: 0 };
for (let i = 0; i < Number(rounds); i++) {
  const begun = throttled();
  use((Number(quotaUs) * (1 + (i % 10))) / 5);
  counts.before += throttled() - begun;
  await quota?.awaitPeriod();
  const fresh = throttled();
  use(PART * Number(quotaUs));
  counts.after += throttled() - fresh;
}
await quota?.awaitPeriod();
const [begun, before] = [throttled(), process.cpuUsage()];
for (let used = 0; used < Number(rounds) * PART * Number(quotaUs);) {
  use(PART_BETWEEN_RESTS * Number(quotaUs));
  quota?.rest();
  const { user, system } = process.cpuUsage(before);
  used = user + system;
}
counts.resting = throttled() - begun;
console.log(JSON.stringify(counts));
