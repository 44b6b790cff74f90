import { execFile } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildGo } from './go-build.js';
import { embeddedCells, type Embedding, type Release } from './releases.js';

const HOSTS = fileURLToPath(new URL('../../../test/fixtures/chost/', import.meta.url));

/** Builds `park` into another program. Returns the path of that program and its arguments. */
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
