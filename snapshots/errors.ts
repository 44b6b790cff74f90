/** The exit codes of the command line; scripts rely on them (docs/cli.md). */
export const ExitCode = {
  ok: 0,
  bug: 1,
  usage: 2,
  noGoProcess: 3,
  permission: 4,
  badFile: 5,
  unsupported: 6,
  partial: 7,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Characters of a message or a hint, and of a quoted text in one. A path may have thousands, a damaged file any number. */
const MOST_MESSAGE = 1500;
const MOST_QUOTED = 64;

/** Returns `text`, or where it is longer than `most` characters as much of it, with `…` in place of its middle. */
export function shortened(text: string, most = MOST_MESSAGE): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 3);
  return `${text.slice(0, most - 1 - end)}…${text.slice(text.length - end)}`;
}

/** Quotes what a file has where something else is expected, for a message. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text, MOST_QUOTED));
}

/**
 * An error that the user can act on. `message` says what gospy was doing and what went wrong, `hint` what to try; both are
 * {@link shortened}, for what a file or a process says may be in them. Any other error that reaches the command line is a
 * bug in gospy.
 */
export class GospyError extends Error {
  override readonly name = 'GospyError';
  readonly exitCode: ExitCode;
  readonly hint: string | null;

  constructor(exitCode: ExitCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(shortened(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = exitCode;
    this.hint = options.hint === undefined ? null : shortened(options.hint);
  }
}

interface Details {
  hint?: string;
  cause?: unknown;
}

/** A value or combination of options that a command does not accept. */
export function usageError(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.usage, message, details);
}

/** There is no such process, or no Go runtime was found in it. */
export function noGoProcess(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.noGoProcess, message, details);
}

/** The kernel refused; the message names the check that failed. */
export function permissionError(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.permission, message, details);
}

/** A file cannot be read (damaged, truncated, mismatched) or written. The message should name the section and offset. */
export function badFile(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.badFile, message, details);
}

/** The Go release or CPU is not one that gospy knows. */
export function unsupported(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.unsupported, message, details);
}
