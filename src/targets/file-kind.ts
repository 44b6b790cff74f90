import { describe, detectFile, unpackingAdvice } from '../../snapshots/detect.js';
import { badFile } from '../../snapshots/errors.js';

/** An ELF core, plain or in a compression that gospy can unpack. */
export interface CoreFile {
  readonly kind: 'core';
  readonly packing: 'gzip' | 'zstd' | null;
}

/** A kind of file that gospy reads. */
export type ReadableFile = CoreFile | { readonly kind: 'snapshot' };

/**
 * Returns what a file is, judging by its first bytes. A compressed file is taken for a core: what is in it shows when
 * it is opened. Throws `badFile`, which says what the file is, where it is neither a snapshot nor a core.
 */
export function kindOfTarget(path: string): ReadableFile {
  const file = detectFile(path);
  if (file.kind === 'snapshot') return file;
  if (file.kind === 'core') return { kind: 'core', packing: null };
  const what = `cannot read ${path}: it is ${describe(file)}`;
  if (file.kind === 'compressed' && (file.format === 'gzip' || file.format === 'zstd')) {
    return { kind: 'core', packing: file.format };
  }
  const advice = unpackingAdvice(file);
  if (advice !== null) throw badFile(what, { hint: advice });
  throw badFile(`${what}, neither a snapshot nor a core`, {
    hint: '`gospy capture` makes a snapshot of a running Go process',
  });
}
