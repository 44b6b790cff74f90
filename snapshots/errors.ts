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

/**
 * An error that the user can act on. `message` says what gospy was doing and what went wrong, `hint` what to try. Any
 * other error that reaches the command line is a bug in gospy.
 */
export class GospyError extends Error {
  override readonly name = 'GospyError';
  readonly exitCode: ExitCode;
  readonly hint: string | null;

  constructor(exitCode: ExitCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = exitCode;
    this.hint = options.hint ?? null;
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
