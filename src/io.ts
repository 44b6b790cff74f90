import { writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { Warning } from '../analyze/warnings.js';
import { shortened } from '../snapshots/errors.js';
import { fileError, systemCode } from '../snapshots/file-errors.js';
import { takesHyperlinks, type Hyperlinks } from './hyperlinks.js';
import { ONLY_ONE, type RuntimeName } from './render/runtimes.js';
import { jsonPieces } from './render/json.js';
import { printable, printableLines, size } from './render/text.js';

const STDOUT = 1;
const STDERR = 2;
/** Characters that are gathered before they are written. */
const BUFFER_LENGTH = 65_536;
/** Warnings printed at most; the JSON documents have them all. */
const WARNINGS_SHOWN = 20;
/** Columns where standard output is not a terminal. */
const DEFAULT_COLUMNS = 200;
/** Returns to the start of the line and clears it. */
const CLEAR_LINE = '\r\u001b[K';

/** The reader of standard output has closed it, as `head` does when it has enough. Not a failure: the work is over. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
}

/**
 * Writes data to standard output and everything else to standard error. It makes the system calls itself, because
 * `process.stdout` drops what a nearly full disk did not take.
 */
export class Io {
  #pending = '';
  #progressShown = false;
  /** Links for places in what is written; null for none. */
  links: Hyperlinks | null = null;
  /** True if progress and colour may be shown. */
  readonly lively = isatty(STDERR) && (process.env['NO_COLOR'] ?? '') === '';

  /** True if standard output is a terminal, which shows text alone. */
  get isTerminal(): boolean {
    return isatty(STDOUT);
  }

  /** True if standard output is a terminal that opens links. */
  get takesLinks(): boolean {
    return this.isTerminal && takesHyperlinks(process.env);
  }

  /** Columns of the terminal that standard output is, or of COLUMNS; 200 where it is not a terminal. */
  get columns(): number {
    const asked = Number(process.env['COLUMNS']);
    if (Number.isInteger(asked) && asked > 0) return asked;
    return this.isTerminal ? process.stdout.columns : DEFAULT_COLUMNS;
  }

  /**
   * Adds to standard output. What a terminal would obey is made visible: nothing that a target says can do more than be
   * read. Throws {@link ReaderGone}, or a GospyError with exit code 5 where it cannot be written.
   */
  async write(text: string): Promise<void> {
    const safe = printableLines(text);
    await this.put(this.links?.linked(safe) ?? safe);
  }

  /** Adds text that is safe to print as it is, such as that of `jsonText`. Throws as {@link write} does. */
  async put(text: string): Promise<void> {
    this.#pending += text;
    if (this.#pending.length >= BUFFER_LENGTH) await this.end();
  }

  /** Adds bytes that are no text, such as those of a compressed file. Throws as {@link write} does. */
  async bytes(data: Uint8Array): Promise<void> {
    await this.end();
    await this.#writeAll(data);
  }

  /** Writes one JSON document, in which any iterable is an array. Throws as {@link write} does. */
  async json(document: unknown): Promise<void> {
    for (const piece of jsonPieces(document)) await this.write(piece);
    await this.write('\n');
  }

  /** Writes what is still pending. Throws as {@link write} does. */
  async end(): Promise<void> {
    this.#clearProgress();
    const bytes = Buffer.from(this.#pending);
    this.#pending = '';
    await this.#writeAll(bytes);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
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

  /** Writes a line to standard error. */
  note(line: string): void {
    this.#clearProgress();
    writeError(`${printableLines(line)}\n`);
  }

  /** Writes warnings to standard error, a line each. */
  warnings(warnings: readonly Warning[], nameOf: RuntimeName = ONLY_ONE): void {
    for (const { code, goid, runtime, message } of warnings.slice(0, WARNINGS_SHOWN)) {
      const name = nameOf(runtime);
      const where = `${name === '' ? '' : `runtime ${name}: `}${goid === undefined ? '' : `goroutine ${goid}: `}`;
      this.note(shortened(`gospy: warning: ${printable(code)}: ${where}${printable(message)}`));
    }
    const more = warnings.length - WARNINGS_SHOWN;
    if (more > 0) this.note(`gospy: ${more} more warnings; --json has them all`);
  }

  /** Shows what is being done, and the bytes done so far, until anything else is written. Only on a terminal. */
  readonly progress = (doing: string, bytes?: number): void => {
    if (!this.lively) return;
    writeError(`${CLEAR_LINE}${printable(doing)}${bytes === undefined ? '' : `: ${size(bytes)}`}`);
    this.#progressShown = true;
  };

  #clearProgress(): void {
    if (this.#progressShown) writeError(CLEAR_LINE);
    this.#progressShown = false;
  }
}

/** Drops what standard error does not take: there is no other place to report that. */
function writeError(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {
    return;
  }
}
