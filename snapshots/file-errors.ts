import { badFile, type GospyError } from './errors.js';

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EFBIG: 'the file would be larger than the limit',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its symbolic links lead in a circle',
  EMFILE: 'too many files are open',
  EIO: 'the disk reports an input/output error',
};

/** The error code that the system gave (`ENOENT`), or null where `error` did not come from the system. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** An error of the file system as a {@link badFile}: `doing` says what was being done, such as `cannot open /x.gsp`. */
export function fileError(doing: string, error: unknown, hint?: string): GospyError {
  const code = systemCode(error);
  const words = (code === null ? undefined : WORDS[code]) ?? (error instanceof Error ? error.message : String(error));
  return badFile(`${doing}: ${words}`, { cause: error, ...(hint === undefined ? {} : { hint }) });
}
