import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './go-build.js';
import { withLock } from './lock.js';
import { skip, type SkippableTest } from './skip.js';

const run = promisify(execFile);

/** Releases of Node that people have, with engines that differ from that of the oldest one. */
export const NODES = ['22.23.3', '24.21.0', '26.10.0'] as const;
export type NodeRelease = (typeof NODES)[number];

/** Returns the executable of a release of Node. If npm cannot provide it, skips the test and returns null; the test has to return. */
export async function requireNode(t: SkippableTest, release: NodeRelease): Promise<string | null> {
  try {
    return await fetchNode(release);
  } catch (error) {
    skip(t, `npm does not provide Node ${release}: ${String(error)}`);
    return null;
  }
}

/** Installs a release of Node into a folder of its own, unless it is there. Throws if npm does not have it. */
export async function fetchNode(release: NodeRelease): Promise<string> {
  const name = `node-linux-${process.arch}`;
  const folder = join(cacheFolder(), `node-${release}`);
  const node = join(folder, 'node_modules', name, 'bin/node');
  mkdirSync(cacheFolder(), { recursive: true });
  await withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return;
    const unfinished = `${folder}.${process.pid}`;
    const options = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', ['install', ...options, '--prefix', unfinished, `${name}@${release}`]);
    renameSync(unfinished, folder);
  });
  return node;
}
