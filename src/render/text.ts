/** What {@link printable} replaces, except for the ends of lines and tabs. */
const UNSAFE_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

/**
 * Makes `text` from a target safe to print: control characters, which could move the cursor or worse, become `\x1b` and
 * the like; those that change the direction of reading become `\u202e` and the like.
 */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}

/** Takes out of a text of several lines what {@link printable} takes out of one: for all that is printed. */
export function printableLines(text: string): string {
  return UNSAFE_LINES.test(text) ? text.replace(/[^\n\t]+/g, printable) : text;
}

/** As JSON.stringify, with escapes for all that {@link printable} replaces: a terminal obeys some that JSON permits. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** `1,019 goroutines`, `1 thread`. */
export function pluralize(n: number, noun: string): string {
  return `${withThousands(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** `1,019`. */
export function withThousands(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Nanoseconds as `0.84 ms`, `12.0 ms`, `1.25 s`: three significant digits. */
export function duration(ns: number): string {
  if (ns < 1e5) return `${threeDigits(ns / 1e3)} us`;
  if (ns < 1e9) return `${threeDigits(ns / 1e6)} ms`;
  return `${threeDigits(ns / 1e9)} s`;
}

/** Bytes as `912 B`, `1.21 MB`: powers of 1000. */
export function size(bytes: number): string {
  for (const [unit, scale] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    if (bytes >= scale) return `${threeDigits(bytes / scale)} ${unit}`;
  }
  return `${bytes} B`;
}

function threeDigits(n: number): string {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}
