import { injectionSites, systemStacks } from '../../analyze/runtime/injection-site.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { Cloner, collectLeftovers, endClone, tieToGospy } from '../../capture/clone/clone.js';
import { survey } from '../../capture/copy/plan.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';

/**
 * Clones the process of the first argument and ends the clone, again and again, until it is killed. Writes a line after the
 * first one: a kill after that most likely comes in the middle of a clone.
 */
const target = new LiveProcess(Number(process.argv[2]), 'stop');
const [program] = survey(target.image(), NO_DEBUG_INFO).programs;
const sites = injectionSites(program);
if (sites === null) throw new Error('there is no place for a system call');
const namespaceTids = new Map(target.threads().map(({ tid, namespaceTid }) => [tid, namespaceTid]));
const { pid, arch } = target;
const cloner = new Cloner({
  target: { pid, arch, sites },
  stacks: systemStacks(program),
  namespaceTid: (tid) => namespaceTids.get(tid) ?? tid,
  liveTid: target.liveTid,
});
collectLeftovers(program, sites);
for (let made = 0; ;) {
  const { value } = withStopped(target.pid, { arch: target.arch }, (threads) => cloner.clone(threads));
  if (typeof value === 'string') continue;
  tieToGospy(value);
  endClone(value);
  if (made++ === 0) process.stdout.write('cloning\n');
}
