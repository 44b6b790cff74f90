/**
 * `text` from a target, safe on a terminal: control characters, which could move the cursor or worse, are written as
 * `\x1b`, and those that turn the direction of reading as `\u202e`.
 */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}

/** `1,019 goroutines`, `1 thread`. */
export function counted(n: number, noun: string): string {
  return `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** `1,019`. */
export function grouped(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Nanoseconds as `0.84 ms`, `12 ms`, `1.25 s`: three digits that tell. */
export function duration(ns: number): string {
  if (ns < 1e5) return `${significant(ns / 1e3)} us`;
  if (ns < 1e9) return `${significant(ns / 1e6)} ms`;
  return `${significant(ns / 1e9)} s`;
}

/** Bytes as `912 B`, `1.21 MB`; powers of 1000. */
export function size(bytes: number): string {
  for (const [unit, scale] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    if (bytes >= scale) return `${significant(bytes / scale)} ${unit}`;
  }
  return `${bytes} B`;
}

function significant(n: number): string {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}
