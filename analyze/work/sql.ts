import type { Values } from '../types/values.js';
import { shown, textOf, type Call, type Decoder, type Found, type LiveWord } from './decoder.js';
import { foldLists, foldSql } from './fold.js';
import { poolText } from './sql-pool.js';

/**
 * Where functions of database/sql (sql.go) have the text of the statement among their arguments: at which word its address
 * is; its length follows. An interface, such as a context, takes two words.
 */
const TEXT_AT: Readonly<Record<string, number>> = {
  'database/sql.(*DB).query': 3,
  'database/sql.(*DB).exec': 3,
  'database/sql.(*DB).prepare': 3,
  'database/sql.(*DB).QueryContext': 3,
  'database/sql.(*DB).QueryRowContext': 3,
  'database/sql.(*DB).ExecContext': 3,
  'database/sql.(*DB).PrepareContext': 3,
  'database/sql.(*DB).queryDC': 7,
  'database/sql.(*DB).execDC': 5,
  'database/sql.(*DB).prepareDC': 7,
  'database/sql.(*Tx).QueryContext': 3,
  'database/sql.(*Tx).QueryRowContext': 3,
  'database/sql.(*Tx).ExecContext': 3,
  'database/sql.(*Tx).PrepareContext': 3,
  'database/sql.(*Conn).QueryContext': 3,
  'database/sql.(*Conn).QueryRowContext': 3,
  'database/sql.(*Conn).ExecContext': 3,
  'database/sql.(*Conn).PrepareContext': 3,
};
/** Methods of prepared statements, which know their text. */
const OF_STATEMENT = new Set(['database/sql.(*Stmt).QueryContext', 'database/sql.(*Stmt).ExecContext']);
/** How a statement begins: with a word, a parenthesis or a comment. */
const STATEMENT = /^\s*(?:[A-Za-z(]|--|\/\*)/;

/** The statement that database/sql runs, or waits to run, and the connections of its pool. */
export const sql: Decoder = {
  kind: 'sql',
  handles: (func) => func in TEXT_AT || OF_STATEMENT.has(func),
  decode: (call, values) => {
    const statement = statementOf(call, values);
    if (statement === null) return null;
    const { text, word } = statement;
    const found = describe(text, poolText(call, values));
    return found === null ? null : { found, sure: word.mapped };
  },
};

/** Its text, and the word that shows it. */
function statementOf(call: Call, values: Values): { readonly text: string; readonly word: LiveWord } | null {
  if (OF_STATEMENT.has(call.func)) {
    const word = call.word(0);
    return word === null ? null : { text: textOf(values, values.at('database/sql.Stmt', word.value), 'query'), word };
  }
  const at = TEXT_AT[call.func] ?? 0;
  const [word, length] = [call.word(at), call.word(at + 1)];
  if (word === null || length === null || length.value === 0) return null;
  return { text: values.stringAt(word.value, length.value), word };
}

function describe(statement: string, pool: string): Found | null {
  // A replacement character stands for bytes that are no text.
  if (!STATEMENT.test(statement) || statement.includes('\ufffd') || statement.includes('\0')) return null;
  const shape = foldSql(statement);
  return { text: shown(statement) + pool, shape: shown(shape) + pool, group: shown(foldLists(shape)), since: null };
}
