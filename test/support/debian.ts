import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './go-build.js';
import { withLock } from './lock.js';
import { skip, type SkippableTest } from './skip.js';

const run = promisify(execFile);

/** Debian packages of Go programs, and of the programs that these start. */
const PACKAGES = ['prometheus', 'docker.io', 'containerd', 'runc'] as const;

/**
 * Returns the folder into which the Debian packages were unpacked, not installed: it has `usr/bin` and `usr/sbin`. If apt
 * cannot provide them, skips the test and returns null; the test has to return.
 */
export async function requireDebian(t: SkippableTest): Promise<string | null> {
  try {
    return await unpackDebian();
  } catch (error) {
    skip(t, `apt does not provide the packages ${PACKAGES.join(', ')}: ${String(error)}`);
    return null;
  }
}

/** Downloads and unpacks the packages, unless they are there. Throws if apt is missing or does not have them. */
export async function unpackDebian(): Promise<string> {
  const folder = join(cacheFolder(), 'debian');
  const root = join(folder, 'root');
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'lock'), async () => {
    if (existsSync(root)) return;
    const unfinished = `${root}.${process.pid}`;
    const download = (): Promise<unknown> => run('apt-get', ['download', '-qq', ...PACKAGES], { cwd: folder });
    // On a fresh machine apt does not know any package yet.
    await download().catch(() => run('apt-get', ['update', '-qq']).then(download));
    for (const name of readdirSync(folder)) {
      if (!name.endsWith('.deb')) continue;
      await run('dpkg-deb', ['-x', join(folder, name), unfinished]);
      rmSync(join(folder, name));
    }
    await run('mv', [unfinished, root]);
  });
  return root;
}
