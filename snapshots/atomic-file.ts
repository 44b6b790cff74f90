import { randomBytes } from 'node:crypto';
import { accessSync, closeSync, constants, openSync, statSync, unlinkSync } from 'node:fs';
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { badFile } from './errors.js';
import { fileError, systemCode } from './file-errors.js';

const unfinished = new Set<string>();

/** Removes the temporary files of all writes that are under way: for a signal handler that is about to exit. */
export function removeUnfinished(): void {
  for (const path of unfinished) {
    try {
      unlinkSync(path);
    } catch {
      // It is gone already, or its folder is: there is nothing more to remove.
    }
  }
  unfinished.clear();
}

/**
 * Says early whether a snapshot can be written to `path`: throws `badFile` where the folder is missing or may not be
 * written to, or where `path` is something else than a file.
 */
export function checkOutput(path: string): void {
  if (path === '') throw badFile('cannot write the snapshot: its path is empty');
  const stat = attempt(`cannot write ${path}`, () => statSync(path, { throwIfNoEntry: false }));
  if (stat?.isDirectory() === true) {
    throw badFile(`cannot write ${path}: it is a folder`, { hint: 'name a file in it, such as snap.gsp' });
  }
  if (stat !== undefined && !stat.isFile()) {
    throw badFile(`cannot write ${path}: it is no regular file, and a snapshot replaces what is there`);
  }
  const folder = dirname(path);
  attempt(`cannot write to the folder ${folder}`, () => {
    if (!statSync(folder).isDirectory()) throw badFile(`cannot write ${path}: ${folder} is no folder`);
    accessSync(folder, constants.W_OK | constants.X_OK);
  });
}

function attempt<T>(doing: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw systemCode(error) === null ? error : fileError(doing, error);
  }
}

/**
 * A file that appears under its name whole or not at all: written beside it, mode 0600, brought to the disk, and
 * renamed. What the name held before is replaced in one step; a symbolic link is replaced, not followed. Errors of the
 * file system come as `badFile`.
 */
export class AtomicFile {
  /** Bytes written so far. */
  size = 0;
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  static async create(path: string): Promise<AtomicFile> {
    checkOutput(path);
    const temporary = join(dirname(path), `.gospy-${process.pid}-${randomBytes(8).toString('hex')}.tmp`);
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    unfinished.add(temporary);
    try {
      // Made in one step with the note of it: a signal that comes later finds the file, and none is made after it.
      closeSync(openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600));
      return new AtomicFile(path, temporary, await open(temporary, O_WRONLY | O_NOFOLLOW));
    } catch (error) {
      unfinished.delete(temporary);
      throw fileError(`cannot create a file beside ${path}`, error);
    }
  }

  /** Appends. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#put(bytes, this.size);
    this.size += bytes.length;
  }

  /** Appends zeros that take no room on the disk. */
  hole(length: number): void {
    this.size += length;
  }

  /** Overwrites bytes that were written before. */
  async patch(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#put(bytes, offset);
  }

  /** Brings the bytes to the disk and gives them their name. */
  async commit(): Promise<void> {
    try {
      await this.#handle.truncate(this.size);
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#temporary, this.#path);
    } catch (error) {
      throw this.#failed(error);
    }
    unfinished.delete(this.#temporary);
    await syncFolder(dirname(this.#path));
  }

  /** Removes what was written; never throws. */
  async discard(): Promise<void> {
    // The error that led here is the one to tell; a close or an unlink that fails too adds nothing.
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
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): Error {
    return fileError(
      `cannot write ${basename(this.#path)} in ${dirname(this.#path)}`,
      error,
      'nothing was left behind',
    );
  }
}

/** The name, too, is to survive a power cut; some file systems refuse to sync a folder, and the file is whole by then. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, constants.O_RDONLY);
    await handle.sync().finally(() => handle.close());
  } catch {
    return;
  }
}
