import { readFileSync, statSync } from 'node:fs';
import { Option } from 'commander';
import type { DecoderSpec } from '../snapshots/work.js';
import { fileError } from '../snapshots/file-errors.js';

/** Larger files are none that somebody wrote: they are not read. */
const MAX_BYTES = 2 ** 20;

/** `--decode FILE`: decoders for what goroutines work on. */
export function decodeOption(): Option {
  return new Option(
    '--decode <FILE>',
    'also tell what goroutines work on by the decoders in this file (docs/decoders.md)',
  );
}

/** The decoders in a file; none without one. Throws GospyError: 5 where it cannot be read, 2 where something in it is wrong. */
export async function readDecoders(path: string | undefined): Promise<readonly DecoderSpec[]> {
  if (path === undefined) return [];
  const { parseDecoders } = await import('../analyze/work/decoder-file.js');
  let text: string;
  try {
    text = statSync(path).size > MAX_BYTES ? '' : readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(`reading the decoders in ${path}`, error);
  }
  return parseDecoders(text, path);
}
