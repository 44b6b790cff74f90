import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { badFile } from './errors.js';
import { fileError, systemCode } from './file-errors.js';

/** Paths of the temporary files, and folders with one, that exist now. */
const unfinished = new Set<string>();

/** Removes the temporary files of all writes in progress. For signal handlers that are about to exit. */
export function removeUnfinished(): void {
  for (const path of unfinished) {
    try {
      unlinkSync(path);
    } catch {
      removeFolder(path);
    }
  }
  unfinished.clear();
}

/**
 * Checks early whether a file can be written to `path`. Throws `badFile` if its folder does not exist or is not writable,
 * or if `path` is something other than a regular file.
 */
export function checkOutput(path: string): void {
  if (path === '') throw badFile('cannot write the snapshot: its path is empty');
  const stat = translateErrors(`cannot write ${path}`, () => statSync(path, { throwIfNoEntry: false }));
  if (stat?.isDirectory() === true) {
    throw badFile(`cannot write ${path}: it is a folder`, { hint: 'name a file in it, such as snap.gsp' });
  }
  if (stat !== undefined && !stat.isFile()) {
    throw badFile(`cannot write ${path}: it is not a regular file, and would be replaced by one`);
  }
  const folder = dirname(path);
  translateErrors(`cannot write to the folder ${folder}`, () => {
    if (!statSync(folder).isDirectory()) throw badFile(`cannot write ${path}: ${folder} is not a folder`);
    accessSync(folder, constants.W_OK | constants.X_OK);
  });
}

/** Runs `action`; errors of system calls become `badFile`, with `doing` at the start of the message. */
function translateErrors<T>(doing: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw systemCode(error) === null ? error : fileError(doing, error);
  }
}

/**
 * A file that appears under its name whole or not at all: it is written as a temporary file in the same folder with mode
 * 0600, flushed to the disk, and renamed. An existing file is replaced in one step; a symbolic link is replaced, not
 * followed. Errors of the file system are thrown as `badFile`.
 */
export class AtomicFile {
  /** Bytes written so far. */
  size = 0;
  readonly #path: string;
  /** Where it is written until it is whole. */
  readonly #temporary: string;
  readonly #handle: FileHandle;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  static async create(path: string): Promise<AtomicFile> {
    checkOutput(path);
    const temporary = temporaryName(path);
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    unfinished.add(temporary);
    try {
      // Synchronous, so that no signal handler runs between adding the path and creating the file.
      closeSync(openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600));
      return new AtomicFile(path, temporary, await open(temporary, O_WRONLY | O_NOFOLLOW));
    } catch (error) {
      unfinished.delete(temporary);
      throw fileError(`cannot create a file beside ${path}`, error);
    }
  }

  /** Appends bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#put(bytes, this.size);
    this.size += bytes.length;
  }

  /** Appends `length` zero bytes that take no space on the disk. */
  hole(length: number): void {
    this.size += length;
  }

  /** Overwrites bytes written before, at `offset`. */
  async patch(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#put(bytes, offset);
  }

  /** Flushes the file to the disk and renames it to its final name. */
  async commit(): Promise<void> {
    try {
      await this.#handle.truncate(this.size);
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#temporary, this.#path);
    } catch (error) {
      throw writeError(this.#path, error);
    }
    unfinished.delete(this.#temporary);
    await syncFolder(dirname(this.#path));
  }

  /** Closes and removes the temporary file. Never throws. */
  async discard(): Promise<void> {
    // Whatever led here is reported by the caller; a failing close or unlink would only hide it.
    await this.#handle.close().catch(() => undefined);
    await unlink(this.#temporary).catch(() => undefined);
    unfinished.delete(this.#temporary);
  }

  async #put(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }
}

/** A name beside `path` that no other file has. */
function temporaryName(path: string): string {
  return join(dirname(path), `.gospy-${process.pid}-${randomBytes(8).toString('hex')}.tmp`);
}

/**
 * Has `write` make a file under another name, which then replaces `path` in one step, as {@link AtomicFile} does: for
 * libraries that write files themselves. The other name is in a folder of its own, so that a library that goes on after a signal
 * finds no place to write to. Returns the size in bytes. Throws what `write` throws, or `badFile`: then there is no new file.
 */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void>): Promise<number> {
  checkOutput(path);
  const folder = temporaryName(path);
  const temporary = join(folder, 'whole.tmp');
  unfinished.add(folder);
  try {
    translateErrors(`cannot create a file beside ${path}`, () => {
      mkdirSync(folder, 0o700);
      // Its mode stays when it is written: not every mounted file system can change modes.
      closeSync(openSync(temporary, 'wx', 0o600));
    });
    await write(temporary);
    const size = await flush(temporary).catch((error: unknown) => {
      throw writeError(path, error);
    });
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return size;
  } finally {
    removeFolder(folder);
    unfinished.delete(folder);
  }
}

/** Flushes a whole file to the disk. Returns its size. */
async function flush(path: string): Promise<number> {
  const handle = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    await handle.sync();
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

/** Removes a folder with its files, also if another thread still makes some in it: by then it has another name. Never throws. */
function removeFolder(folder: string): void {
  const renamed = `${folder}.gone`;
  try {
    renameSync(folder, renamed);
    rmSync(renamed, { recursive: true, force: true });
  } catch {
    // It is gone already, or the folder that it is in is: nothing is left to remove.
  }
}

function writeError(path: string, error: unknown): Error {
  return fileError(`cannot write ${basename(path)} in ${dirname(path)}`, error, 'nothing was left behind');
}

/**
 * Flushes a folder, so that a rename in it survives a power cut. Ignores errors: some file systems cannot sync a folder,
 * and the file itself is safe by then.
 */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, constants.O_RDONLY);
    await handle.sync().finally(() => handle.close());
  } catch {
    return;
  }
}
