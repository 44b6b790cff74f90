import { hostname } from 'node:os';
import { pathToFileURL } from 'node:url';

/** Terminals that open links, by what they set TERM_PROGRAM to. Apple's own does not. */
const PROGRAMS = new Set(['ghostty', 'Hyper', 'iTerm.app', 'rio', 'Tabby', 'vscode', 'WezTerm', 'zed']);
/** ... and by what they set TERM to. */
const TERMS = /^(alacritty|contour|foot|xterm-ghostty|xterm-kitty|wezterm)/;
/** The first VTE (GNOME Terminal and others) that opens links without a fault: 0.50.1. */
const LEAST_VTE = 5001;
/** VTE ignores longer links. */
const LONGEST = 2083;
/** `file:line` as texts have it: in parentheses, or on a line of its own. */
const PLACE = /(?<=[(\t]|^ {4})[^\t\n()]+:\d+(?=\)| \+0x|$)/gm;

/** True if a terminal with these variables opens links. FORCE_HYPERLINK decides (0: no), then NO_COLOR, which means none. */
export function takesHyperlinks(env: NodeJS.ProcessEnv): boolean {
  const forced = env['FORCE_HYPERLINK'] ?? '';
  if (forced !== '') return forced !== '0';
  const term = env['TERM'] ?? 'dumb';
  if ((env['NO_COLOR'] ?? '') !== '' || /^(dumb|linux|screen|tmux)/.test(term)) return false;
  return (
    TERMS.test(term) ||
    PROGRAMS.has(env['TERM_PROGRAM'] ?? '') ||
    Number(env['VTE_VERSION'] ?? 0) >= LEAST_VTE ||
    ['WT_SESSION', 'KONSOLE_VERSION', 'DOMTERM'].some((name) => (env[name] ?? '') !== '')
  );
}

/** Makes links (OSC 8) of those places in a text that are in a file on this machine. */
export class Hyperlinks {
  /** By `file:line` as it is shown; null where this is that of two files. */
  readonly #urls = new Map<string, string | null>();

  /** `shown` is how the text has a line of a file; `path` is absolute. */
  add(shown: string, path: string, line: number): void {
    const url = pathToFileURL(path);
    url.hostname = hostname();
    url.hash = String(line);
    const before = this.#urls.get(shown);
    this.#urls.set(shown, before === undefined || before === url.href ? url.href : null);
  }

  /** The text with its links. All else in it must be safe to print. */
  linked(text: string): string {
    return text.replace(PLACE, (shown) => {
      const url = this.#urls.get(shown) ?? null;
      return url === null || url.length > LONGEST ? shown : `\u001b]8;;${url}\u001b\\${shown}\u001b]8;;\u001b\\`;
    });
  }
}
