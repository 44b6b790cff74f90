import { AtomicFile } from '../snapshots/atomic-file.js';

/** Where it goes: standard output, or a file. Both write as it comes; what writes to it never holds all. */
export interface Output {
  /** Adds text. Throws GospyError with exit code 5 where it cannot be written. */
  write(text: string): Promise<void>;
  /** Adds text that is safe to print as it is: what a terminal would obey is escaped in it. Throws as {@link write} does. */
  put(text: string): Promise<void>;
  /** Adds bytes, which come after the text before them. Throws as {@link write} does. */
  bytes(data: Uint8Array): Promise<void>;
}

/** Characters that are gathered before they are written. */
const BUFFER_LENGTH = 1 << 18;

/** A file that appears under its name whole, in place of an older one, or not at all. */
export class FileOutput implements Output {
  readonly #file: AtomicFile;
  #pending = '';

  private constructor(file: AtomicFile) {
    this.#file = file;
  }

  /** Runs `fill` on a new file at `path`. Returns its size in bytes. Throws what `fill` throws, or `badFile`: then there is no file. */
  static async fill(path: string, fill: (output: Output) => Promise<void>): Promise<number> {
    const file = await AtomicFile.create(path);
    try {
      const output = new FileOutput(file);
      await fill(output);
      await output.#flush();
      await file.commit();
    } catch (error) {
      await file.discard();
      throw error;
    }
    return file.size;
  }

  /** A file is no terminal: all text is as safe. */
  async write(text: string): Promise<void> {
    await this.put(text);
  }

  async put(text: string): Promise<void> {
    this.#pending += text;
    if (this.#pending.length >= BUFFER_LENGTH) await this.#flush();
  }

  async bytes(data: Uint8Array): Promise<void> {
    await this.#flush();
    await this.#file.write(data);
  }

  async #flush(): Promise<void> {
    if (this.#pending === '') return;
    const bytes = Buffer.from(this.#pending);
    this.#pending = '';
    await this.#file.write(bytes);
  }
}
