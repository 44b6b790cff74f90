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
 * An error that a user can act on. `message` says what was being done and what went wrong, `hint` what to try.
 * Anything else that is thrown up to the command line is a bug of gospy's.
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

/** A value or combination that a command does not take. */
export function usageError(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.usage, message, details);
}

/** No such process, or one in which no Go runtime was found. */
export function noGoProcess(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.noGoProcess, message, details);
}

/** The kernel refused; the message names the check that failed. */
export function permissionError(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.permission, message, details);
}

/** A file that cannot be read (damaged, truncated, mismatched) or written. Name the section and offset. */
export function badFile(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.badFile, message, details);
}

/** A Go release or CPU that gospy does not know. */
export function unsupported(message: string, details?: Details): GospyError {
  return new GospyError(ExitCode.unsupported, message, details);
}
