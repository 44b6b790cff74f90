import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';

/** The line of /proc/self/mountinfo for the hierarchy of version 2. */
export const MOUNTED_V2 = '35 28 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';

/** The same for one of version 1, with its controllers. */
export function mountedV1(name: string, controllers = name): string {
  return `34 28 0:29 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${controllers}\n`;
}

/** A folder in which /proc and the cgroups say what is given, by path. It ends with the test. */
export function fakeRoot(t: Test, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'gospy-root-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}
