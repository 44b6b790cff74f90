import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tracingRights } from '../../capture/process/permission.js';
import { hostArch } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { fail, pass, unknown, type Check } from './check.js';

const OLDEST_NODE = 20;

/** Checks what gospy needs on this machine to capture live processes. Reading files needs only Node. */
export async function checkMachine(): Promise<Check[]> {
  const checks = [checkNode(), checkPlatform()];
  if (process.platform !== 'linux') return checks;
  checks.push(...(await checkTracing()), checkPrivileges());
  return checks;
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

/** Stops a child process of gospy's own and lets it go: the only proof that native code loads and the kernel permits a stop. */
async function checkTracing(): Promise<Check[]> {
  const child = spawn(process.execPath, ['--eval', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  try {
    if (child.pid === undefined) return [unknown('tracing', 'no child process could be started for a try')];
    withStopped(child.pid, { arch: hostArch() }, () => null);
    return [pass('native', 'native code loads'), pass('tracing', 'a child process was stopped and let go')];
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    if (error.exitCode === ExitCode.unsupported) {
      return [fail('native', error.message, error.hint), unknown('tracing', 'not tried without native code')];
    }
    return [pass('native', 'native code loads'), fail('tracing', error.message, error.hint)];
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** Whose processes can be captured, as far as gospy's own rights decide that. */
function checkPrivileges(): Check {
  const { uid, hasPtraceCap, yamaScope } = tracingRights();
  const who = `gospy runs as uid ${uid}`;
  if (hasPtraceCap) return pass('privileges', `${who} with CAP_SYS_PTRACE: the processes of all users can be captured`);
  if (yamaScope === 0) return pass('privileges', `${who}: this user's processes can be captured`);
  return fail(
    'privileges',
    `${who} without CAP_SYS_PTRACE, and Yama's ptrace_scope is ${yamaScope}: ` +
      (yamaScope === 1 ? 'only processes that gospy itself starts can be captured' : 'no process can be captured'),
    yamaScope === 3
      ? 'ptrace_scope 3 lasts until the next boot.'
      : 'Run gospy as root (`sudo gospy ...`), in a container with --cap-add SYS_PTRACE, or type ' +
          '`sudo sysctl kernel.yama.ptrace_scope=0`.',
  );
}
