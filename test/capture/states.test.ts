import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Summary } from '../../analyze/report/model.js';
import { gospy } from '../src/gospy-process.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { parseSchedTraces, schedTraceEnv } from '../support/schedtrace.js';
import { until } from './targets.js';

const EVERY_MS = 100;
/** By the number that the trace prints. */
const STATUSES = ['idle', 'running', 'syscall', 'gcstop', 'dead'];
const RELEASES = ['1.12', '1.19', '1.26', '1.27'] as const;

function threadStates(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) => {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  });
}

if (requireGo(t)) {
  for (const release of RELEASES) {
    t.test(`summary: Ps and threads agree with the scheduler's own trace and the kernel (go${release})`, async (t) => {
      const program = await startGo(t, await buildGo({ fixture: 'park', release, link: 'plain' }), {
        env: schedTraceEnv(EVERY_MS),
      });
      const before = parseSchedTraces(program.stderr).length;
      const states = threadStates(program.pid);
      const { stdout, code } = await gospy(['summary', '--pid', String(program.pid), '--json']);
      t.equal(code, 0);
      const summary = JSON.parse(stdout) as Summary;
      t.equal(summary.threads.total, states.length);
      t.equal(summary.threads.running + summary.threads.sleeping, states.length);
      const enough = before + 4;
      await until(() => parseSchedTraces(program.stderr).length >= enough, `${enough} traces of the scheduler`);
      const traces = parseSchedTraces(program.stderr);
      const [first, last] = [traces[Math.max(0, before - 1)], traces.at(-1)];
      t.equal(summary.target.gomaxprocs, last?.gomaxprocs);
      t.equal(summary.ps.length, last?.ps.length);
      for (const p of summary.ps) {
        const [was, is] = [first?.ps[p.id], last?.ps[p.id]];
        const between = (value: number, from = NaN, to = NaN): boolean => value >= from && value <= to;
        t.ok(between(p.schedtick, was?.schedtick, is?.schedtick), `P${p.id} schedtick ${p.schedtick}`);
        t.ok(between(p.syscalltick, was?.syscalltick, is?.syscalltick), `P${p.id} syscalltick ${p.syscalltick}`);
        const seen = new Set(traces.slice(Math.max(0, before - 1)).map((trace) => trace.ps[p.id]?.status));
        if (seen.size === 1) t.ok(seen.has(STATUSES.indexOf(p.status)), `P${p.id} ${p.status}`);
      }
    });
  }
}
