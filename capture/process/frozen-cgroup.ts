import { join } from 'node:path';
import { tryText } from './procfs.js';

/** A cgroup that is frozen. */
export interface FrozenCgroup {
  /** Its path in the hierarchy, as /proc/PID/cgroup has it. */
  readonly path: string;
}

/** A mounted cgroup hierarchy, from /proc/self/mountinfo (proc_pid_mountinfo(5)). */
interface Hierarchy {
  readonly version: 1 | 2;
  /** The cgroup that is mounted, and where. */
  readonly root: string;
  readonly folder: string;
}

/**
 * The cgroup of a process if that, or one above it, is frozen: in a hierarchy of version 1 that has the freezer, or of
 * version 2. null if it is not, or if the hierarchies are not mounted where gospy sees them. `root` is where /proc and the
 * mounts are looked for.
 */
export function frozenCgroup(pid: number, root = '/'): FrozenCgroup | null {
  const groups = linesOf(join(root, `proc/${pid}/cgroup`));
  for (const { version, root: mounted, folder } of hierarchies(root)) {
    const path = groups.map((line) => groupIn(line, version)).find((found) => found !== null) ?? null;
    if (path === null || !`${path}/`.startsWith(mounted === '/' ? '/' : `${mounted}/`)) continue;
    const at = join(root, folder, mounted === '/' ? path : path.slice(mounted.length));
    if (isFrozen(at, version)) return { path };
  }
  return null;
}

/** A line of /proc/PID/cgroup is `id:controllers:path`; version 2 has the id 0 and no controllers. */
function groupIn(line: string, version: 1 | 2): string | null {
  const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
  if (path === undefined || path.startsWith('/..')) return null;
  const isIn = version === 2 ? id === '0' && controllers === '' : controllers?.split(',').includes('freezer') === true;
  return isIn ? path : null;
}

/** Both files tell of cgroups above, too. FREEZING means that some threads still run. */
function isFrozen(folder: string, version: 1 | 2): boolean {
  return version === 1
    ? linesOf(join(folder, 'freezer.state'))[0] === 'FROZEN'
    : linesOf(join(folder, 'cgroup.events')).includes('frozen 1');
}

function hierarchies(root: string): Hierarchy[] {
  return linesOf(join(root, 'proc/self/mountinfo')).flatMap((line): Hierarchy[] => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , mounted = '', folder = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup2') return [{ version: 2, root: unescape(mounted), folder: unescape(folder) }];
    if (type !== 'cgroup' || !options.split(',').includes('freezer')) return [];
    return [{ version: 1, root: unescape(mounted), folder: unescape(folder) }];
  });
}

/** mountinfo writes spaces and the like as `\040`. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Empty if the file cannot be read. */
function linesOf(path: string): string[] {
  return tryText(path)?.split('\n') ?? [];
}
