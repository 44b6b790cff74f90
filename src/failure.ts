import { inspect } from 'node:util';
import { ExitCode, GospyError } from '../snapshots/errors.js';
import { printable } from './render/text.js';
import { bugTracker } from './version.js';

/** How a command ended that did not do what it was asked. */
export interface Failure {
  readonly exitCode: ExitCode;
  /** One short paragraph; with GOSPY_DEBUG=1 the stack follows. */
  readonly text: string;
}

/** What to tell the user about `error`, thrown by `gospy COMMAND`. Whatever is no GospyError is a bug of gospy's. */
export function failure(command: string, error: unknown): Failure {
  const debug = (process.env['GOSPY_DEBUG'] ?? '') !== '';
  const stack = debug ? `\n${inspect(error)}` : '';
  if (error instanceof GospyError) {
    return { exitCode: error.exitCode, text: `${paragraph(command, explain(error))}${stack}` };
  }
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const report =
    `Please report it to ${bugTracker()} with the command line` +
    (debug ? ' and the stack below.' : ' and the stack that GOSPY_DEBUG=1 adds.');
  const text = paragraph(command, `${closed(`this is a bug of gospy's: ${what}`)} ${report}`);
  return { exitCode: ExitCode.bug, text: `${text}${stack}` };
}

/** What went wrong and what to try, in one line. */
export function explain({ message, hint }: GospyError): string {
  return hint === null ? closed(message) : `${closed(message)} ${closed(capitalized(hint))}`;
}

function paragraph(command: string, text: string): string {
  return printable(`${['gospy', command].join(' ').trim()}: ${text}`);
}

/** A sentence may begin with the name of a command, which stays as it is typed. */
function capitalized(sentence: string): string {
  return sentence.startsWith('gospy ') ? sentence : sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** `sentence` in one line, with a full stop at its end. */
function closed(sentence: string): string {
  const line = sentence.trim().replace(/\s*\n\s*/g, ' ');
  return /[.?!]$/.test(line) ? line : `${line}.`;
}
