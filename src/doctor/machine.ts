import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readAccessFacts, readOwnFacts } from '../../capture/process/access-facts.js';
import { procFault, readProcFacts } from '../../capture/process/own-proc.js';
import { explainRefusal } from '../../capture/process/permission.js';
import { judgePrivileges } from '../../capture/process/privileges.js';
import { readHiding } from '../../capture/process/unseen-process.js';
import { hostArch } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { fail, pass, unknown, type Check } from './check.js';

const OLDEST_NODE = 20;

/** Checks what gospy needs on this machine to capture live processes. Reading files needs only Node. */
export async function checkMachine(): Promise<Check[]> {
  const checks = [checkNode(), checkPlatform()];
  if (process.platform !== 'linux') return checks;
  const proc = checkProc();
  if (proc.ok === false) {
    const others = ['native', 'tracing', 'privileges'];
    return [
      ...checks,
      proc,
      ...others.map((name) => unknown(name, 'not tried without a /proc of its own pid namespace')),
    ];
  }
  const tracing = await checkTracing();
  return [...checks, proc, ...tracing, { name: 'privileges', ...judgePrivileges(readOwnFacts(), canTrace(tracing)) }];
}

/** Whether gospy could attach to a child process; null if that was not tried. */
export function canTrace(machine: readonly Check[]): boolean | null {
  return machine.find(({ name }) => name === 'tracing')?.ok ?? null;
}

function checkNode(): Check {
  const { node } = process.versions;
  return Number.parseInt(node, 10) >= OLDEST_NODE
    ? pass('node', `Node ${node}`)
    : fail('node', `Node ${node} is older than ${OLDEST_NODE}`, `Install Node ${OLDEST_NODE} or newer.`);
}

function checkPlatform(): Check {
  const { platform, arch } = process;
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) return pass('platform', `Linux on ${arch}`);
  return fail(
    'platform',
    `${platform} on ${arch}: live processes are captured on Linux on x64 and arm64`,
    'Capture where the process runs. Snapshots can be read here.',
  );
}

/** The pids in /proc must be those that system calls take. */
function checkProc(): Check {
  const fault = procFault(readProcFacts());
  if (fault !== null) return fail('proc', fault.finding, fault.advice);
  const hiding = readHiding();
  const hidden = hiding === null ? '' : `; with ${hiding}, it hides the processes that gospy may not trace`;
  return pass('proc', `/proc shows gospy's own pid namespace${hidden}`);
}

/** Stops a child process of gospy's own and lets it go: the only proof that native code loads and the kernel permits a stop. */
async function checkTracing(): Promise<Check[]> {
  const child = spawn(process.execPath, ['--eval', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  const { pid } = child;
  try {
    if (pid === undefined) return [unknown('tracing', 'no child process could be started for a try')];
    withStopped(pid, { arch: hostArch() }, () => null);
    return [pass('native', 'native code loads'), pass('tracing', 'a child process was stopped and let go')];
  } catch (error) {
    if (!(error instanceof GospyError) || pid === undefined) throw error;
    if (error.exitCode === ExitCode.unsupported) {
      return [fail('native', error.message, error.hint), unknown('tracing', 'not tried without native code')];
    }
    return [pass('native', 'native code loads'), tracingRefused(pid, error)];
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

function tracingRefused(child: number, error: GospyError): Check {
  if (error.exitCode !== ExitCode.permission) return fail('tracing', error.message, error.hint);
  const { reasons, advice } = explainRefusal(readAccessFacts(child));
  return fail('tracing', `gospy may not attach even to a child process of its own: ${reasons}`, advice);
}
