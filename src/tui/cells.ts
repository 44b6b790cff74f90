import { duration, withThousands } from '../render/text.js';
import { takeEnd, takeStart, widthOf } from '../render/width.js';

/** Characters that depend on what the terminal can show. */
export interface Glyphs {
  /** For counts, from low to high. */
  readonly trend: string;
  readonly ellipsis: string;
}
export const BLOCKS: Glyphs = { trend: '▁▂▃▄▅▆▇█', ellipsis: '…' };
export const ASCII: Glyphs = { trend: '_.-=+*#@', ellipsis: '~' };

/** The last counts as a curve of at most `columns`, from the lowest of them to the highest. */
export function trendText(counts: readonly number[], columns: number, { trend }: Glyphs): string {
  const shown = counts.slice(-columns);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const steps = trend.length - 1;
  return shown.map((n) => trend[high === low ? 0 : Math.round(((n - low) / (high - low)) * steps)] ?? '').join('');
}

/** A rate per second as `+1.5`, `-120`, `0`. */
export function rateText(rate: number): string {
  const text = Math.abs(rate) >= 100 ? rate.toFixed(0) : rate.toFixed(1);
  return Number(text) === 0 ? '0' : rate > 0 ? `+${text}` : text;
}

/** A difference as `+1,019`, `-3`, `0`. */
export function signedText(n: number): string {
  return n > 0 ? `+${withThousands(n)}` : n < 0 ? `-${withThousands(-n)}` : '0';
}

/** A waiting time as `93.0ms`, `93s`, `5m03s`, `1h30m`; empty where it is not known. */
export function waitText(waitNs: number | null): string {
  if (waitNs === null) return '';
  const seconds = waitNs / 1e9;
  if (seconds < 1) return duration(waitNs).replace(' ', '');
  if (seconds < 100) return `${seconds.toFixed(0)}s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
  return `${Math.floor(seconds / 3600)}h${String(Math.floor((seconds % 3600) / 60)).padStart(2, '0')}m`;
}

/** Fits a name into `columns` by cutting out its middle: the beginning and the end identify it best. */
export function cutMiddle(text: string, columns: number, { ellipsis }: Glyphs): string {
  if (widthOf(text) <= columns) return text;
  if (columns <= 1) return takeStart(text, columns);
  const end = Math.floor((columns - 1) * 0.7);
  return `${takeStart(text, columns - 1 - end)}${ellipsis}${takeEnd(text, end)}`;
}

/** Fits a path into `columns` by cutting off its beginning. */
export function cutBeginning(text: string, columns: number, { ellipsis }: Glyphs): string {
  return widthOf(text) <= columns ? text : `${ellipsis}${takeEnd(text, columns - 1)}`;
}

/** Fits a sentence into `columns` by cutting off its end. */
export function cutEnd(text: string, columns: number, { ellipsis }: Glyphs): string {
  if (widthOf(text) <= columns) return text;
  return columns <= 1 ? takeStart(text, columns) : `${takeStart(text, columns - 1)}${ellipsis}`;
}
