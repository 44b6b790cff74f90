import termkit, { type Terminal as TermkitTerminal, type ScreenBuffer as Buffer } from 'terminal-kit';
import { widthOf } from '../render/width.js';
import { ASCII, BLOCKS, type Glyphs } from './cells.js';
import type { Line, Style } from './screen.js';

const PLAIN = { defaultColor: true, bgDefaultColor: true } as const;
const COLOURED: Readonly<Record<Style, Buffer.Attributes>> = {
  plain: PLAIN,
  title: { ...PLAIN, bold: true },
  head: { ...PLAIN, inverse: true },
  selected: { color: 'black', bgColor: 'cyan' },
  dim: { ...PLAIN, dim: true },
  more: { ...PLAIN, color: 'red', defaultColor: false },
  less: { ...PLAIN, color: 'green', defaultColor: false },
  alert: { ...PLAIN, color: 'yellow', defaultColor: false, bold: true },
};
const COLOURLESS: Readonly<Record<Style, Buffer.Attributes>> = {
  ...COLOURED,
  selected: { ...PLAIN, inverse: true },
  more: { ...PLAIN, bold: true },
  less: PLAIN,
  alert: { ...PLAIN, bold: true },
};

export interface Listeners {
  readonly onKey: (name: string) => void;
  readonly onResize: (columns: number, rows: number) => void;
}

/**
 * The terminal that gospy runs in, as a full screen. Only cells that changed are written. Call {@link leave} after
 * {@link enter}: it restores the normal screen, the cursor and the input mode.
 */
export class FullScreen {
  readonly #terminal: TermkitTerminal;
  readonly #listeners: Listeners;
  readonly #styles: Readonly<Record<Style, Buffer.Attributes>>;
  readonly glyphs: Glyphs;
  #buffer: Buffer;
  #entered = false;
  /** True if the screen may show something other than what was drawn last. */
  #stale = true;
  #lines: readonly Line[] = [];

  constructor(listeners: Listeners) {
    this.#terminal = termkit.terminal;
    this.#listeners = listeners;
    const env = process.env;
    this.#styles = (env['NO_COLOR'] ?? '') === '' ? COLOURED : COLOURLESS;
    this.glyphs = /utf-?8/i.test(env['LC_ALL'] ?? env['LC_CTYPE'] ?? env['LANG'] ?? '') ? BLOCKS : ASCII;
    this.#buffer = this.#newBuffer();
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.#terminal.width, rows: this.#terminal.height };
  }

  enter(): void {
    this.#entered = true;
    this.#stale = true;
    this.#terminal.fullscreen(true);
    this.#terminal.hideCursor();
    this.#terminal.grabInput({});
    this.#terminal.on('key', this.#onKey);
    this.#terminal.on('resize', this.#onResize);
    process.on('SIGCONT', this.#onContinued);
  }

  /** Restores the terminal at once; does nothing if that was done already. */
  leave(): void {
    if (!this.#entered) return;
    this.#entered = false;
    process.off('SIGCONT', this.#onContinued);
    this.#terminal.off('key', this.#onKey);
    this.#terminal.off('resize', this.#onResize);
    this.#terminal.grabInput(false);
    this.#terminal.styleReset();
    this.#terminal.hideCursor(false);
    this.#terminal.fullscreen(false);
  }

  /** Suspends gospy until the shell continues it; returns at once if no shell controls the job. */
  suspend(): void {
    this.leave();
    process.kill(0, 'SIGTSTP');
    this.enter();
    this.draw(this.#lines);
  }

  draw(lines: readonly Line[]): void {
    this.#lines = lines;
    if (!this.#entered) return;
    const buffer = this.#buffer;
    buffer.fill({ attr: PLAIN, char: ' ' });
    for (const [y, line] of lines.entries()) {
      let x = 0;
      for (const { text, style } of line) {
        buffer.put({ x, y, attr: this.#styles[style], wrap: false, dx: 1, dy: 0 }, '%s', text);
        x += widthOf(text);
      }
    }
    buffer.draw({ delta: !this.#stale });
    // A terminal may show a part of a frame. Where the cursor is at home, the frame is whole.
    this.#terminal.moveTo(1, 1);
    this.#stale = false;
  }

  #newBuffer(): Buffer {
    const { columns, rows } = this.size;
    return new termkit.ScreenBuffer({ dst: this.#terminal, width: columns, height: rows, noFill: true });
  }

  readonly #onKey = (name: string): void => this.#listeners.onKey(name);

  readonly #onResize = (columns: number, rows: number): void => {
    this.#buffer = this.#newBuffer();
    this.#stale = true;
    this.#terminal.clear();
    this.#listeners.onResize(columns, rows);
  };

  /** Draws everything again: the shell had the terminal meanwhile. */
  readonly #onContinued = (): void => {
    if (!this.#entered) return;
    this.leave();
    this.enter();
    this.draw(this.#lines);
  };
}
