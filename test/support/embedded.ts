import { execFile } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildGo } from './go-build.js';
import type { Cell, Release } from './releases.js';

/** Ways in which the Go runtime is no executable of its own, or has more than one module. */
export const EMBEDDINGS = ['c-shared', 'c-archive', 'plugin'] as const;
export type Embedding = (typeof EMBEDDINGS)[number];

const HOSTS = fileURLToPath(new URL('../../../test/fixtures/chost/', import.meta.url));

/** `park` as a library, and the Go program that loads it where it is a plugin. */
export function embeddedCells(embedding: Embedding, release: Release): Cell[] {
  const args = [`-buildmode=${embedding}`, '-tags=callbacks library'];
  const library: Cell = { fixture: 'park', release, link: 'cgo', args };
  return embedding === 'plugin' ? [library, { fixture: 'pluginhost', release, link: 'cgo' }] : [library];
}

/** Builds `park` into another program: gives that program and its arguments. */
export async function buildEmbedded(embedding: Embedding, release: Release): Promise<{ path: string; args: string[] }> {
  const [library = '', host = ''] = await Promise.all(embeddedCells(embedding, release).map(buildGo));
  if (embedding === 'plugin') return { path: host, args: [library] };
  const shared = embedding === 'c-shared';
  const path = join(dirname(library), 'host');
  if (!existsSync(path)) {
    const unfinished = `${path}.${process.pid}`;
    const linked = shared ? ['-ldl'] : [library, '-lpthread', '-lresolv'];
    const source = join(HOSTS, shared ? 'shared.c' : 'archive.c');
    await promisify(execFile)('gcc', ['-g', '-o', unfinished, source, ...linked]);
    renameSync(unfinished, path);
  }
  return { path, args: shared ? [library] : [] };
}
