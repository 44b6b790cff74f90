import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { hostArch, readStatus } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { failed, passed, untold, type Check } from './check.js';

const OLDEST_NODE = 20;
const CAP_SYS_PTRACE = 19n;

/** What gospy needs of this machine to capture live processes. Reading files needs no more than Node. */
export async function checkMachine(): Promise<Check[]> {
  const checks = [checkNode(), checkPlatform()];
  if (process.platform !== 'linux') return checks;
  checks.push(...(await checkTracing()), checkPrivileges());
  return checks;
}

function checkNode(): Check {
  const { node } = process.versions;
  return Number.parseInt(node, 10) >= OLDEST_NODE
    ? passed('node', `Node ${node}`)
    : failed('node', `Node ${node} is older than ${OLDEST_NODE}`, `Install Node ${OLDEST_NODE} or newer.`);
}

function checkPlatform(): Check {
  const { platform, arch } = process;
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) return passed('platform', `Linux on ${arch}`);
  return failed(
    'platform',
    `${platform} on ${arch}: live processes are captured on Linux on x64 and arm64`,
    'Capture where the process runs; snapshots are read here all the same.',
  );
}

/** Stops and lets go a child process of gospy's own: the only proof that native code loads and the kernel permits it. */
async function checkTracing(): Promise<Check[]> {
  const child = spawn(process.execPath, ['--eval', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  try {
    if (child.pid === undefined) return [untold('tracing', 'no child process could be started for a try')];
    withStopped(child.pid, { arch: hostArch() }, () => null);
    return [passed('native', 'native code loads'), passed('tracing', 'a child process was stopped and let go')];
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    if (error.exitCode === ExitCode.unsupported) {
      return [failed('native', error.message, error.hint), untold('tracing', 'not tried without native code')];
    }
    return [passed('native', 'native code loads'), failed('tracing', error.message, error.hint)];
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** Whose processes can be captured, as far as gospy's own rights decide it. */
function checkPrivileges(): Check {
  const self = readStatus(process.pid);
  const who = `gospy runs as uid ${self.uids[1] ?? '?'}`;
  if ((self.effectiveCaps / 2n ** CAP_SYS_PTRACE) % 2n === 1n) {
    return passed('privileges', `${who} with CAP_SYS_PTRACE: the processes of all users can be captured`);
  }
  const scope = yamaScope();
  if (scope === 0) return passed('privileges', `${who}: this user's processes can be captured`);
  return failed(
    'privileges',
    `${who} without CAP_SYS_PTRACE, and Yama's ptrace_scope is ${scope}: ` +
      (scope === 1 ? 'only processes that gospy itself starts can be captured' : 'no process can be captured'),
    scope === 3
      ? 'ptrace_scope 3 lasts until the next boot.'
      : 'Run gospy as root (`sudo gospy ...`), in a container with --cap-add SYS_PTRACE, or type ' +
          '`sudo sysctl kernel.yama.ptrace_scope=0`.',
  );
}

/** 0 also where the kernel has no Yama. */
function yamaScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8'));
  } catch {
    return 0;
  }
}
