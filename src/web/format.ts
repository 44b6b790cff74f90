import { printable } from '../render/text.js';

/** Nanoseconds as `850 ms`, `12.3 s`, `4m 10s`, `2h 13m`, `3d 4h`. */
export function age(ns: number): string {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${Math.round(ns / 1e6)} ms`;
  const s = ns / 1e9;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${Math.floor(s % 60)}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}

/** A share of a whole as `12.3 %`. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** `example.com/shop/db.(*Pool).get` as `db.(*Pool).get`: what is before the last slash of the package's path is left out. */
export function shortFunc(func: string): string {
  const generics = func.indexOf('[');
  const name = generics < 0 ? func : func.slice(0, generics);
  return printable(func.slice(name.lastIndexOf('/') + 1));
}

/** The last two parts of a path. */
export function shortFile(file: string): string {
  return printable(file.split('/').slice(-2).join('/'));
}
