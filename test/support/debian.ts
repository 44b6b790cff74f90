import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './go-build.js';
import { withLock } from './lock.js';

const run = promisify(execFile);

/** Go programs as Debian ships them, by package, with what they start themselves. */
const PACKAGES = ['prometheus', 'docker.io', 'containerd', 'runc'] as const;

/** What {@link requireDebian} needs of a tap test. */
interface Test {
  fail(message: string): void;
  comment(message: string): void;
}

/**
 * The folder into which the packages of Debian were unpacked, not installed: `usr/bin`, `usr/sbin`. Where they cannot be
 * had, says so in the test's output, fails the test under CI, and answers null; the test is to return then.
 */
export async function requireDebian(t: Test): Promise<string | null> {
  try {
    return await unpackDebian();
  } catch (error) {
    const reason = `skipped: the packages ${PACKAGES.join(', ')} cannot be had from apt: ${String(error)}`;
    if (process.env['CI'] === 'true') t.fail(reason);
    else t.comment(reason);
    return null;
  }
}

/** Downloads and unpacks the packages, unless that was done before. Throws where there is no apt, or it has none. */
export async function unpackDebian(): Promise<string> {
  const folder = join(cacheFolder(), 'debian');
  const root = join(folder, 'root');
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'lock'), async () => {
    if (existsSync(root)) return;
    const unfinished = `${root}.${process.pid}`;
    const download = (): Promise<unknown> => run('apt-get', ['download', '-qq', ...PACKAGES], { cwd: folder });
    // A fresh machine has no list of what there is.
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
