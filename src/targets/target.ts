import type { Programs } from '../../analyze/program.js';
import type { Warning } from '../../analyze/warnings.js';
import { badFile, usageError, type GospyError } from '../../snapshots/errors.js';
import type { DecoderSpec } from '../../snapshots/work.js';

/** Which files may lend a target what it lacks. */
export interface FileOptions {
  /** The executable, or another build of the same source. */
  readonly bin?: string | undefined;
  /** For cores: trees of executables and debug files, by build id and by path, as /usr/lib/debug is one. */
  readonly debugDir?: readonly string[] | undefined;
}

/** A snapshot or a core. */
export interface FileTarget extends FileOptions {
  readonly file: string;
}

/** A live process, which is captured into memory. */
export interface ProcessTarget {
  readonly pid: number;
  /** The executable, or another build of the same source. */
  readonly bin?: string | undefined;
}

export type TargetSpec = FileTarget | ProcessTarget;

/** How a target is opened, and what the caller can do meanwhile. */
export interface Opening {
  /** Called with what is being done, for a progress line, and how many bytes of that are done where that is known. */
  readonly progress?: ((doing: string, bytes?: number) => void) | undefined;
  /**
   * Aborts at the next step: the promise is rejected with the signal's reason or, while a file is written, with a
   * GospyError of exit code 130. Nothing is left behind.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Proves which goroutines are leaked, in a clone of a process or in a core; a snapshot has its proof, or none. So many bytes of the
   * heap may hold pointers, at most.
   */
  readonly leaks?: { readonly maxHeapBytes: number } | undefined;
  /** Decoders of the user's own for what goroutines work on. A snapshot has what it was captured with, and refuses them. */
  readonly decoders?: readonly DecoderSpec[] | undefined;
}

/** The error for decoders where nothing takes them: `what` names a file, or all that is asked about. */
export function noDecoders(what: string): GospyError {
  return usageError(`${what} has what its capture decoded, and no memory for more`, {
    hint: 'give the decoders to `gospy capture --decode`',
  });
}

/** An open target. Any number may be open at once. */
export interface OpenTarget {
  /** The Go programs in it, that of the executable first. */
  readonly programs: Programs;
  /**
   * Memory that was asked for and could not be read although the file should have it, one sentence each. Grows while
   * the programs are read.
   */
  readonly damage: readonly string[];
  /** What the capture and the opening warned of. Reports repeat these among their own warnings. */
  readonly warnings: readonly Warning[];
  /** Closes the files. Memory that was not read by then is absent. */
  close(): void;
}

/** The error for a file that turned out to be damaged while it was read; null where nothing is damaged. */
export function damageError(damage: readonly string[], cause?: unknown): GospyError | null {
  const [first] = damage;
  if (first === undefined) return null;
  const more = damage.length === 1 ? '' : ` (and ${damage.length - 1} more)`;
  return badFile(`the answer is not complete: ${first}${more}`, {
    hint: 'gospy info lists all that is wrong with the file',
    cause,
  });
}
