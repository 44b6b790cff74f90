import { execFileSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';

/** What these helpers need of a tap test. */
interface Test {
  teardown(end: () => void): void;
}

const POLL_MS = 50;
const PATIENCE_MS = 60_000;
let servers = 0;

/** A shell in a terminal of its own. Tests type keys into it and read its screen. */
export class Tmux {
  readonly #socket: string;

  /** Starts a tmux server that shares nothing with others on the machine, and ends with the test. */
  constructor(t: Test, columns: number, rows: number, folder: string) {
    this.#socket = `gospy-test-${process.pid}-${servers++}`;
    const size = ['-x', String(columns), '-y', String(rows)];
    const env = {
      ...process.env,
      LC_ALL: 'C.UTF-8',
      TERM: 'xterm-256color',
      PS1: '$ ',
      PROMPT_COMMAND: '',
      NO_COLOR: '',
    };
    execFileSync(
      'tmux',
      [
        '-L',
        this.#socket,
        '-f',
        '/dev/null',
        'new-session',
        '-d',
        ...size,
        '-c',
        folder,
        'bash',
        '--norc',
        '--noprofile',
      ],
      { env },
    );
    t.teardown(() => {
      this.#tmux('kill-server');
    });
  }

  /** Types keys, by tmux's names such as `Enter`, `C-c` and `Down`, or single characters. */
  keys(...names: string[]): void {
    this.#tmux('send-keys', ...names);
  }

  /** Types a command line, and Enter. */
  type(line: string): void {
    this.#tmux('send-keys', '-l', line);
    this.keys('Enter');
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Returns the lines on the screen. */
  screen(): string[] {
    return this.#look().lines;
  }

  /** True while a program uses the alternate screen. */
  get alternate(): boolean {
    return this.#format('#{alternate_on}') === '1';
  }

  get cursorShown(): boolean {
    return this.#format('#{cursor_flag}') === '1';
  }

  /**
   * Waits until the screen is as wanted and returns it. A full-screen program's screen counts only with the cursor at
   * home: such a program leaves it there after each frame, and tmux may have read a part of a frame so far. Throws,
   * with the last screen, if that takes longer than a minute.
   */
  async until(wanted: (screen: string) => boolean, what: string): Promise<string> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const { lines, whole } = this.#look();
      const screen = lines.join('\n');
      if (whole && wanted(screen)) return screen;
      if (performance.now() > end) throw new Error(`the screen never had ${what}:\n${screen}`);
      await setTimeout(POLL_MS);
    }
  }

  /** Runs a command in the shell, which must be at its prompt, and returns what it printed. */
  async ask(line: string): Promise<string> {
    const mark = `done-${servers++}`;
    this.type(`clear; ${line}; echo ${mark.slice(0, 2)}''${mark.slice(2)}`);
    const screen = await this.until((text) => text.includes(`\n${mark}`) || text.startsWith(mark), mark);
    const lines = screen.split('\n');
    const end = lines.findIndex((text) => text === mark);
    return lines.slice(lines.findIndex((text) => text.includes(line)) + 1, end).join('\n');
  }

  /** Returns the state of the terminal that programs change: modes, screen, cursor. */
  async state(): Promise<string> {
    const modes = await this.ask('stty -a');
    return `${modes}\nalternate: ${this.alternate}\ncursor: ${this.cursorShown}`;
  }

  /** Returns the screen, and whether it is one whole frame, both of one moment: tmux reads nothing in between. */
  #look(): { readonly lines: string[]; readonly whole: boolean } {
    const format = '#{alternate_on} #{cursor_x} #{cursor_y}';
    const lines = this.#tmux('capture-pane', '-p', ';', 'display-message', '-p', format).replace(/\n$/, '').split('\n');
    const [alternate, x, y] = (lines.pop() ?? '').split(' ');
    return { lines, whole: alternate === '0' || (x === '0' && y === '0') };
  }

  #format(format: string): string {
    return this.#tmux('display-message', '-p', format).trim();
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-L', this.#socket, ...args], { encoding: 'utf8' });
  }
}
