import { join } from 'node:path';
import { tryText } from './procfs.js';

/** A cgroup that a process is in. */
export interface Cgroup {
  readonly version: 1 | 2;
  /** Its path in the hierarchy, as /proc/PID/cgroup has it. */
  readonly path: string;
  /** Where it and those above it are found, itself first, as far up as the hierarchy is mounted. */
  readonly folders: readonly [string, ...string[]];
}

/** A mounted cgroup hierarchy, from /proc/self/mountinfo (proc_pid_mountinfo(5)). */
interface Hierarchy {
  readonly version: 1 | 2;
  /** The cgroup that is mounted, and where. */
  readonly root: string;
  readonly folder: string;
}

/**
 * The cgroups of a process in the hierarchy of version 1 that has a controller, and in that of version 2; without those that are
 * not mounted where gospy sees them. `root` is where /proc and the mounts are looked for.
 */
export function cgroupsOf(pid: number | 'self', controller: string, root = '/'): Cgroup[] {
  const groups = linesOf(join(root, `proc/${pid}/cgroup`));
  return hierarchies(root, controller).flatMap(({ version, root: mounted, folder }): Cgroup[] => {
    const path = groups.map((line) => groupIn(line, version, controller)).find((found) => found !== null) ?? null;
    if (path === null || !`${path}/`.startsWith(mounted === '/' ? '/' : `${mounted}/`)) return [];
    const below = (mounted === '/' ? path : path.slice(mounted.length)).split('/').filter(Boolean);
    const folders: [string, ...string[]] = [join(root, folder)];
    for (const name of below) folders.unshift(join(folders[0], name));
    return [{ version, path, folders }];
  });
}

/** A line of /proc/PID/cgroup is `id:controllers:path`; version 2 has the id 0 and no controllers. */
function groupIn(line: string, version: 1 | 2, controller: string): string | null {
  const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
  if (path === undefined || path.startsWith('/..')) return null;
  const isIn = version === 2 ? id === '0' && controllers === '' : controllers?.split(',').includes(controller) === true;
  return isIn ? path : null;
}

function hierarchies(root: string, controller: string): Hierarchy[] {
  return linesOf(join(root, 'proc/self/mountinfo')).flatMap((line): Hierarchy[] => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , mounted = '', folder = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup2') return [{ version: 2, root: unescape(mounted), folder: unescape(folder) }];
    if (type !== 'cgroup' || !options.split(',').includes(controller)) return [];
    return [{ version: 1, root: unescape(mounted), folder: unescape(folder) }];
  });
}

/** mountinfo writes spaces and the like as `\040`. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** A number of a file of a cgroup that has one in each line, behind its name; null if it is not there. */
export function countIn(folder: string, file: string, name: string): number | null {
  const line = linesOf(join(folder, file)).find((line) => line.startsWith(`${name} `));
  return line === undefined ? null : Number(line.slice(name.length));
}

/** The number of a file of a cgroup; null if it cannot be read, or has none, as `max`. */
export function numberIn(folder: string, name: string): number | null {
  const text = linesOf(join(folder, name))[0] ?? '';
  return /^\d+$/.test(text) ? Number(text) : null;
}

/** Empty if the file cannot be read. */
export function linesOf(path: string): string[] {
  return tryText(path)?.split('\n') ?? [];
}
