import { badFile, type GospyError } from './errors.js';

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
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

/** Returns the system's error code (`ENOENT`), or null if `error` is not an error of a system call. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** Turns an error of the file system into a {@link badFile}. `doing` says what failed, such as `cannot open /x.gsp`. */
export function fileError(doing: string, error: unknown, hint?: string): GospyError {
  const code = systemCode(error);
  const words = (code === null ? undefined : WORDS[code]) ?? (error instanceof Error ? error.message : String(error));
  return badFile(`${doing}: ${words}`, { cause: error, ...(hint === undefined ? {} : { hint }) });
}
