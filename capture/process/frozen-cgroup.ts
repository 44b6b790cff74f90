import { join } from 'node:path';
import { cgroupsOf, linesOf, type Cgroup } from './cgroup.js';

/**
 * The cgroup of a process if that, or one above it, is frozen: in a hierarchy of version 1 that has the freezer, or of
 * version 2. null if it is not, or if the hierarchies are not mounted where gospy sees them. `root` is where /proc and the
 * mounts are looked for.
 */
export function frozenCgroup(pid: number, root = '/'): Cgroup | null {
  return cgroupsOf(pid, 'freezer', root).find(isFrozen) ?? null;
}

/** Both files tell of cgroups above, too. FREEZING means that some threads still run. */
function isFrozen({ version, folders: [folder] }: Cgroup): boolean {
  return version === 1
    ? linesOf(join(folder, 'freezer.state'))[0] === 'FROZEN'
    : linesOf(join(folder, 'cgroup.events')).includes('frozen 1');
}
