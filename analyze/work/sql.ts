import type { Addr } from '../../snapshots/address.js';
import type { Values } from '../types/values.js';
import { shown, type Decoder, type Found, type LiveWord } from './decoder.js';
import { foldLists, foldSql } from './fold.js';

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

/** The statement that database/sql runs, or waits to run. */
export const sql: Decoder = {
  kind: 'sql',
  handles: (func) => func in TEXT_AT || OF_STATEMENT.has(func),
  decode: (call, values) => {
    if (OF_STATEMENT.has(call.func)) {
      const receiver = call.word(0);
      const query = receiver === null ? null : values.get(values.at('database/sql.Stmt', receiver.value), 'query');
      const found = query === null ? null : describe(values.string(query));
      return receiver === null || found === null ? null : { found, sure: receiver.mapped };
    }
    const at = TEXT_AT[call.func] ?? 0;
    const [data, length] = [call.word(at), call.word(at + 1)];
    const text = data === null || length === null ? null : textOf(values, data.value, length);
    const found = text === null ? null : describe(text);
    return data === null || found === null ? null : { found, sure: data.mapped };
  },
};

function textOf(values: Values, data: Addr, { value }: LiveWord): string | null {
  return value === 0 ? null : values.stringAt(data, value);
}

function describe(statement: string): Found | null {
  // A replacement character stands for bytes that are no text.
  if (!STATEMENT.test(statement) || statement.includes('\ufffd') || statement.includes('\0')) return null;
  const shape = foldSql(statement);
  return { text: shown(statement), shape: shown(shape), group: shown(foldLists(shape)), since: null };
}
