import { shortPath } from './table.js';
import { printable } from './text.js';
import { widthOf } from './width.js';

/** A place in the code of a target. */
export interface CodePlace {
  readonly func: string;
  readonly file: string;
  readonly line: number;
}

/**
 * `file:line` of a place, safe to print. In fewer `columns` than it takes, the beginning of the file is left out; its last
 * element never is.
 */
export type PlaceOf = (place: CodePlace, columns?: number) => string;

/** The file as the compiler named it. */
export const asBuilt: PlaceOf = ({ file, line }, columns) => withLine(printable(file), line, columns);

/** `file:line` of a file that is safe to print. */
export function withLine(file: string, line: number, columns?: number): string {
  const end = `:${line}`;
  return (columns === undefined ? file : shortPath(file, columns - widthOf(end))) + end;
}

/** `runtime.main (/usr/local/go/src/runtime/proc.go:110)`, on one line. */
export function placeText(place: CodePlace, placeOf = asBuilt): string {
  return `${printable(place.func)} (${placeOf(place)})`;
}
