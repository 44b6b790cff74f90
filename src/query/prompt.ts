import { readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { isatty } from 'node:tty';
import { GospyError } from '../../snapshots/errors.js';
import type { Database } from './database.js';
import { VIEWS } from './tables.js';

/** Statements that are remembered from one session to the next. */
const MOST_HISTORY = 500;

/** What a prompt needs to know of where it runs. */
export interface PromptIo {
  /** Writes to standard output what it has. */
  write(text: string): Promise<void>;
  end(): Promise<void>;
  note(line: string): void;
  /** Runs one statement and writes its rows. */
  run(sql: string): Promise<void>;
  /** Writes the questions that `.examples` shows. */
  examples(): Promise<void>;
}

const INTERRUPT_MS = 20;

const HELP = `A statement ends with a semicolon. Ctrl-C ends what runs, or what is typed; Ctrl-D ends gospy.
.tables     what can be asked for
.examples   questions, queries and their answers
.quit       ends gospy
`;

/**
 * Reads statements from standard input and runs them, until it ends. On a terminal there is a prompt with history, which
 * completes the names of tables and columns.
 */
export async function prompt(database: Database, io: PromptIo): Promise<void> {
  const terminal = isatty(0) && isatty(1);
  const names = await namesIn(database);
  const history = terminal ? readHistory() : [];
  const lines = createInterface({
    input: process.stdin,
    ...(terminal ? { output: process.stdout } : {}),
    terminal,
    history: [...history],
    historySize: MOST_HISTORY,
    completer: (line: string): [string[], string] => complete(names, line),
  });
  if (terminal) {
    io.note(`Tables: ${Object.keys(VIEWS).join(', ')}. A statement ends with a semicolon; .help says more.`);
  }
  const session = new Session(database, io, lines, terminal);
  lines.on('line', () => session.received());
  lines.on('SIGINT', () => session.interrupted());
  const done: string[] = [];
  session.ask();
  for await (const line of lines) {
    const entered = await session.enter(line);
    if (entered !== null) done.unshift(entered);
    if (session.ended) break;
    session.ask();
  }
  await session.finish();
  lines.close();
  if (!terminal) return;
  // The shell's prompt has a line of its own.
  io.note('');
  writeHistory([...done, ...history]);
}

/** What was typed so far, and what runs. */
class Session {
  ended = false;
  readonly #database: Database;
  readonly #io: PromptIo;
  readonly #lines: Interface;
  readonly #terminal: boolean;
  #statement = '';
  #running = false;
  /** Lines that were typed and not taken. */
  #waiting = 0;
  #interrupting: NodeJS.Timeout | null = null;

  constructor(database: Database, io: PromptIo, lines: Interface, terminal: boolean) {
    this.#database = database;
    this.#io = io;
    this.#lines = lines;
    this.#terminal = terminal;
  }

  ask(): void {
    if (!this.#terminal) return;
    this.#lines.setPrompt(this.#statement === '' ? 'gospy> ' : '  ...> ');
    this.#lines.prompt();
  }

  /** A line was typed, which {@link enter} takes in its turn. */
  received(): void {
    this.#waiting++;
  }

  interrupted(): void {
    if (this.#running || this.#waiting > 0) {
      // A statement that has not begun does not notice: until it ends it is told again.
      this.#interrupting ??= setInterval(() => this.#database.interrupt(), INTERRUPT_MS);
      return;
    }
    this.#statement = '';
    this.#io.note('');
    this.ask();
  }

  /** Takes a line. Returns the statement that it ended, on one line, or null. */
  async enter(line: string): Promise<string | null> {
    this.#waiting--;
    const command = line.trim();
    if (this.#statement === '' && command.startsWith('.')) {
      await this.#command(command);
      return null;
    }
    this.#statement = this.#statement === '' ? line : `${this.#statement}\n${line}`;
    if (!command.endsWith(';')) {
      if (this.#interrupting !== null) this.#statement = '';
      this.#interruptedOnce();
      return null;
    }
    const statement = this.#statement;
    this.#statement = '';
    await this.#run(statement);
    return statement.replaceAll('\n', ' ').trim();
  }

  /** Runs what was not ended by a semicolon when standard input ended. */
  async finish(): Promise<void> {
    if (this.#statement.trim() !== '' && !this.#terminal) await this.#run(this.#statement);
  }

  async #command(command: string): Promise<void> {
    if (command === '.quit' || command === '.exit') this.ended = true;
    else if (command === '.examples') await this.#io.examples();
    else if (command === '.tables') {
      for (const [name, about] of Object.entries(VIEWS)) await this.#io.write(`${name.padEnd(12)}${about}\n`);
    } else await this.#io.write(HELP);
    await this.#io.end();
  }

  #interruptedOnce(): void {
    if (this.#interrupting !== null) clearInterval(this.#interrupting);
    this.#interrupting = null;
  }

  async #run(sql: string): Promise<void> {
    this.#running = true;
    try {
      await this.#io.run(sql);
      await this.#io.end();
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      // On a terminal one goes on after a mistake; a script is over.
      if (!this.#terminal) throw error;
      this.#io.note(error.message);
    } finally {
      this.#running = false;
      this.#interruptedOnce();
    }
  }
}

/** The names of all tables and columns. */
async function namesIn(database: Database): Promise<string[]> {
  const names = new Set<string>(['.examples', '.help', '.quit', '.tables', ...Object.keys(VIEWS)]);
  for (const view of Object.keys(VIEWS)) {
    for (const [name] of await database.run(`DESCRIBE ${view}`)) if (typeof name === 'string') names.add(name);
  }
  return [...names].sort();
}

/** The names that the last word of a line may become, and that word. */
export function complete(names: readonly string[], line: string): [string[], string] {
  const word = /[\w.]*$/.exec(line)?.[0] ?? '';
  const typed = word.startsWith('.') ? word : word.slice(word.lastIndexOf('.') + 1);
  return [names.filter((name) => name.startsWith(typed.toLowerCase())), typed];
}

function historyPath(): string {
  return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'gospy_query_history');
}

/** The newest first. */
function readHistory(): string[] {
  try {
    return readFileSync(historyPath(), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

/** A history that cannot be kept is none: no reason to fail. */
function writeHistory(lines: readonly string[]): void {
  try {
    writeFileSync(historyPath(), `${lines.slice(0, MOST_HISTORY).join('\n')}\n`, { mode: 0o600 });
  } catch {
    return;
  }
}
