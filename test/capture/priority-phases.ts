import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Policy, setSchedulingPolicy } from '../../capture/libc.js';
import { hostArch } from '../../capture/process/procfs.js';
import { lowerPriority, raisePriority, reviewPriority } from '../../capture/ptrace/priority.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { openTarget } from '../../src/targets/open-target.js';
import type { Class, Phase, Phases, PhasesOptions } from './priority-process.js';

/** Prints the scheduling class of each of its own threads in each phase: `node priority-phases.js OPTIONS`, the options as JSON. */
const { uid, go, isFree, isStarved, startIdle } = JSON.parse(process.argv[2] ?? '{}') as PhasesOptions;

/** Fields 19 and 41 of /proc/PID/stat are the nice value and the policy; the name before them may have spaces. */
function classOf(path: string): Class {
  const text = readFileSync(`${path}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { nice: Number(fields[19 - 3]), policy: Number(fields[41 - 3]) };
}

function threads(): Phase {
  const all = readdirSync('/proc/self/task').map(Number);
  const helpers = all.filter((tid) => tid !== process.pid).map((tid) => classOf(`/proc/self/task/${tid}`));
  const turns = { ranNs: 0, waitedNs: 0 };
  for (const tid of all) {
    const [ran = 0, waited = 0] = readFileSync(`/proc/self/task/${tid}/schedstat`, 'latin1').split(' ').map(Number);
    turns.ranNs += ran;
    turns.waitedNs += waited;
  }
  return { main: classOf(`/proc/self/task/${process.pid}`), helpers, turns: [turns] };
}

async function phasesOfStop(): Promise<Phases> {
  const phases: Phases = { before: threads() };
  let isLast = false;
  const restore = lowerPriority(
    () => isFree[0] === true,
    () => isLast && isStarved === true,
  );
  phases['low'] = threads();
  const restoreInner = lowerPriority();
  restoreInner();
  phases['inner undone'] = threads();
  // The first use of libuv's pool starts its threads.
  await stat('/');
  reviewPriority();
  phases['pool started'] = threads();
  const child = spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  phases['child'] = { ...threads(), main: classOf(`/proc/${pid}`), helpers: [] };
  withStopped(pid, { arch: hostArch() }, () => (phases['stop'] = threads()));
  phases['after the stop'] = threads();
  try {
    withStopped(pid, { arch: hostArch() }, () => {
      throw new Error('thrown');
    });
  } catch {
    phases['after a stop that threw'] = threads();
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  isFree.shift();
  isLast = true;
  reviewPriority();
  phases['reviewed'] = threads();
  restore();
  reviewPriority();
  phases['restored'] = threads();
  return phases;
}

async function phasesOfTarget(pid: number): Promise<Phases> {
  const phases: Phases = { before: threads() };
  const target = await openTarget({ pid });
  const { turns } = threads();
  reviewPriority();
  const reviewed = threads();
  phases['open'] = { ...reviewed, turns: [...turns, ...reviewed.turns] };
  target.close();
  phases['closed'] = threads();
  return phases;
}

if (uid !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(uid);
  process.setuid?.(uid);
}
if (startIdle === true) {
  setSchedulingPolicy(0, Policy.idle);
  const phases: Phases = { before: threads() };
  const undo = raisePriority();
  phases['stop'] = threads();
  undo();
  phases['after'] = threads();
  process.stdout.write(JSON.stringify(phases));
} else {
  process.stdout.write(JSON.stringify(go === undefined ? await phasesOfStop() : await phasesOfTarget(go)));
}
