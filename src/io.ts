import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { setTimeout } from 'node:timers/promises';
import { fileError, systemCode } from '../snapshots/file-errors.js';
import type { Warning } from '../analyze/warnings.js';
import { printable } from './render/text.js';

const STDOUT = 1;
const STDERR = 2;
/** Characters gathered before they are written. */
const BUFFER_LENGTH = 65_536;
/** A terminal shows this many warnings; the JSON documents have them all. */
const WARNINGS_SHOWN = 20;
/** Where standard output is no terminal, lines are long rather than cut. */
const DEFAULT_COLUMNS = 200;
/** Back to the start of the line, and clear it. */
const CLEAR_LINE = '\r\u001b[K';

/** Who read standard output has gone, as `head` does when it has enough. No error: the work is over. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
}

/**
 * Data on standard output, everything else on standard error. Written with plain system calls and not through
 * `process.stdout`, which drops what a nearly full disk did not take.
 */
export class Io {
  #pending = '';
  #progressShown = false;
  /** True where progress and colour may be shown. */
  readonly lively = isatty(STDERR) && (process.env['NO_COLOR'] ?? '') === '';

  /** Width of the terminal that standard output is; what fits nearly everywhere where it is none. */
  get columns(): number {
    const asked = Number(process.env['COLUMNS']);
    if (Number.isInteger(asked) && asked > 0) return asked;
    return isatty(STDOUT) ? process.stdout.columns : DEFAULT_COLUMNS;
  }

  /** Adds to standard output. Throws {@link ReaderGone}, or a GospyError with exit code 5 where it takes no more. */
  async write(text: string): Promise<void> {
    this.#pending += text;
    if (this.#pending.length >= BUFFER_LENGTH) await this.end();
  }

  /** Writes one JSON document. Throws as {@link write}. */
  async json(document: unknown): Promise<void> {
    await this.write(`${JSON.stringify(document, null, 2)}\n`);
  }

  /** Writes what is still pending. Throws as {@link write}. */
  async end(): Promise<void> {
    this.#clearProgress();
    const bytes = Buffer.from(this.#pending);
    this.#pending = '';
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(STDOUT, bytes, done);
      } catch (cause) {
        const code = systemCode(cause);
        if (code === 'EPIPE') throw new ReaderGone();
        if (code !== 'EAGAIN') throw fileError('cannot write standard output', cause);
        await setTimeout(5);
      }
    }
  }

  /** A line on standard error. */
  note(line: string): void {
    this.#clearProgress();
    writeError(`${line}\n`);
  }

  warnings(warnings: readonly Warning[]): void {
    for (const { code, goid, message } of warnings.slice(0, WARNINGS_SHOWN)) {
      const where = goid === undefined ? '' : `goroutine ${goid}: `;
      this.note(`gospy: warning: ${code}: ${where}${printable(message)}`);
    }
    const more = warnings.length - WARNINGS_SHOWN;
    if (more > 0) this.note(`gospy: ${more} more warnings; --json has them all`);
  }

  /** Shows what is being done, on a terminal only, until anything else is written. */
  progress(doing: string): void {
    if (!this.lively) return;
    writeError(`${CLEAR_LINE}${doing}`);
    this.#progressShown = true;
  }

  #clearProgress(): void {
    if (this.#progressShown) writeError(CLEAR_LINE);
    this.#progressShown = false;
  }
}

/** As far as standard error takes it: there is no other place to say that it does not. */
function writeError(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {
    return;
  }
}
