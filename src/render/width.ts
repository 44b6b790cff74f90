import stringWidth from 'string-width';

/** Text in which a character is a column. */
const ASCII = /^[\x20-\x7e]*$/;
/** Made when it is needed: that takes 3 ms and more, and few texts need it. */
let segmenter: Intl.Segmenter | null = null;

/** Columns that `text` takes on a terminal: 2 for most CJK characters and emoji, 0 for combining marks. */
export function widthOf(text: string): number {
  return ASCII.test(text) ? text.length : stringWidth(text);
}

/** Adds spaces before `text` until it takes `columns`. */
export function padStart(text: string, columns: number): string {
  return spaces(columns - widthOf(text)) + text;
}

/** Adds spaces after `text` until it takes `columns`. */
export function padEnd(text: string, columns: number): string {
  return text + spaces(columns - widthOf(text));
}

/** Returns as much of the start of `text` as fits in `columns`; never half a character. */
export function takeStart(text: string, columns: number): string {
  if (ASCII.test(text)) return text.slice(0, Math.max(0, columns));
  return takeWhileFits(charactersOf(text), columns).join('');
}

/** Returns as much of the end of `text` as fits in `columns`; never half a character. */
export function takeEnd(text: string, columns: number): string {
  if (columns <= 0) return '';
  if (ASCII.test(text)) return text.slice(-columns);
  return takeWhileFits(charactersOf(text).reverse(), columns).reverse().join('');
}

function takeWhileFits(characters: readonly string[], columns: number): string[] {
  let used = 0;
  const end = characters.findIndex((character) => (used += widthOf(character)) > columns);
  return characters.slice(0, end < 0 ? characters.length : end);
}

/** What a reader takes for characters: letters with their marks, emoji with their modifiers. */
function charactersOf(text: string): string[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

function spaces(count: number): string {
  return ' '.repeat(Math.max(0, count));
}
