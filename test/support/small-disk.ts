import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system that is soon full. `refused` says why there is none, or is false. */
export interface SmallDisk {
  readonly path: string;
  readonly refused: string | false;
  readonly remove: () => void;
}

/** Mounts a file system of `size`, such as `256k`. */
export function mountSmallDisk(size: string): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), 'gospy-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { stdio: 'pipe' });
  } catch {
    rmdirSync(path);
    return { path, refused: 'this user may not mount a file system', remove: () => undefined };
  }
  const remove = (): void => {
    execFileSync('umount', [path]);
    rmdirSync(path);
  };
  return { path, refused: false, remove };
}
