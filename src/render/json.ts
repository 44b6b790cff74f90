import { jsonText } from './text.js';

/** Characters of a piece, unless one item is longer. */
const PIECE_LENGTH = 65_536;
const INDENT = 2;

/**
 * The text that JSON.stringify makes of a document with an indent of 2, escaped as {@link jsonText} does, in pieces: it may
 * be longer than a string can be. Every iterable becomes an array, whose items are asked for one at a time.
 */
export function* jsonPieces(document: unknown): Iterable<string> {
  let piece = '';
  for (const text of parts(document, '\n')) {
    piece += text;
    if (piece.length < PIECE_LENGTH) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}

/** `newline` is the end of a line and the indent of the value. */
function* parts(value: unknown, newline: string): Iterable<string> {
  if (typeof value !== 'object' || value === null) yield jsonText(value);
  else if (isIterable(value)) yield* array(value, newline);
  else yield* object(value, newline);
}

function* object(value: object, newline: string): Iterable<string> {
  const inner = newline + ' '.repeat(INDENT);
  let separator = '{';
  for (const [key, field] of Object.entries(value) as [string, unknown][]) {
    if (field === undefined) continue;
    yield `${separator}${inner}${jsonText(key)}: `;
    yield* parts(field, inner);
    separator = ',';
  }
  yield separator === '{' ? '{}' : `${newline}}`;
}

/** Items are texts of their own: none of them is so long that it has to be taken apart. */
function* array(items: Iterable<unknown>, newline: string): Iterable<string> {
  const inner = newline + ' '.repeat(INDENT);
  let separator = '[';
  for (const item of items) {
    const text = Number.isInteger(item) ? String(item) : jsonText(item ?? null, INDENT).replaceAll('\n', inner);
    yield separator + inner + text;
    separator = ',';
  }
  yield separator === '[' ? '[]' : `${newline}]`;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}
