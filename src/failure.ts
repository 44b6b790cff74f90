import { inspect } from 'node:util';
import { ExitCode, GospyError, shortened } from '../snapshots/errors.js';
import { printable } from './render/text.js';
import { bugTracker } from './version.js';

/** Characters of a command's name that is repeated, and of a whole paragraph. */
const MOST_COMMAND = 32;
const MOST_PARAGRAPH = 3000;

/** How gospy reports a command that failed. */
export interface Failure {
  readonly exitCode: ExitCode;
  /** One short paragraph, followed by the stack if GOSPY_DEBUG is set. */
  readonly text: string;
}

/** What to tell the user about an error that `gospy COMMAND` threw. Anything but a GospyError is a bug in gospy. */
export function describeFailure(command: string, error: unknown): Failure {
  const debug = (process.env['GOSPY_DEBUG'] ?? '') !== '';
  const stack = debug ? `\n${inspect(error)}` : '';
  if (error instanceof GospyError) {
    return { exitCode: error.exitCode, text: `${paragraph(command, explain(error))}${stack}` };
  }
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const report =
    `Please report it to ${bugTracker()} with the command line` +
    (debug ? ' and the stack below.' : ' and the stack that GOSPY_DEBUG=1 adds.');
  const text = paragraph(command, `${withFullStop(`this is a bug of gospy's: ${what}`)} ${report}`);
  return { exitCode: ExitCode.bug, text: `${text}${stack}` };
}

/** The message and the hint as sentences on one line. */
export function explain({ message, hint }: GospyError): string {
  return hint === null ? withFullStop(message) : `${withFullStop(message)} ${withFullStop(capitalize(hint))}`;
}

function paragraph(command: string, text: string): string {
  return shortened(
    printable(`${['gospy', shortened(command, MOST_COMMAND)].join(' ').trim()}: ${text}`),
    MOST_PARAGRAPH,
  );
}

/** Capitalizes a sentence, unless it begins with a command to type. */
function capitalize(sentence: string): string {
  return sentence.startsWith('gospy ') ? sentence : sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** The sentence on one line, with a full stop unless it ends with punctuation. */
function withFullStop(sentence: string): string {
  const line = sentence.trim().replace(/\s*\n\s*/g, ' ');
  return /[.?!]$/.test(line) ? line : `${line}.`;
}
