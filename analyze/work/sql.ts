import type { Addr } from '../../snapshots/address.js';
import type { Value, Values } from '../types/values.js';
import { onlyOne, receiverType, shown, textOf, type Call, type Decoder, type Found, type LiveWord } from './decoder.js';
import { foldLists, foldSql } from './fold.js';
import { connectionOf, connectionText } from './sql-connection.js';
import { describePool, poolText } from './sql-pool.js';
import type { Texts } from './socket.js';

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
/**
 * Goroutines of their own that end transactions, and rows which a query returned, when their context does. Each is there for as long
 * as a connection is taken out of the pool.
 */
const HELD: Readonly<Record<string, string>> = {
  'database/sql.(*Tx).awaitDone': 'open transaction',
  'database/sql.(*Rows).awaitDone': 'open rows',
};
/** How a statement begins: with a word, a parenthesis or a comment. */
const STATEMENT = /^\s*(?:[A-Za-z(]|--|\/\*)/;

/** The statement that database/sql runs, or waits to run, its connection, and the connections of the pool. */
export const sql: Decoder = {
  kind: 'sql',
  handles: (func) => func in TEXT_AT || OF_STATEMENT.has(func) || func in HELD,
  decode: (call, values) => {
    const what = HELD[call.func];
    if (what !== undefined) return held(what, call, values);
    const statement = statementOf(call, values);
    if (statement === null) return null;
    const { text, word } = statement;
    const connection = connectionOf(call, values);
    const found = describe(text, connection, poolText(call, values) || describePool(values, connection.db));
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

/** What keeps a connection: a Tx or Rows, by their goroutine. The frame may have it where the receiver is not live. */
function held(what: string, call: Call, values: Values): ReturnType<Decoder['decode']> {
  const [receiver, type] = [call.word(0), receiverType(call.func)];
  if (type === null) return null;
  const inUse = (word: Addr): Value | null => {
    const conn = values.get(values.at(type, word), 'dc');
    const target = conn === null ? null : values.target(conn);
    return target === null || connectionText(target, values) === null ? null : target;
  };
  const conn = receiver === null ? onlyOne(values, call, inUse) : inUse(receiver.value);
  const texts = conn === null ? null : connectionText(conn, values);
  if (texts === null) return null;
  const details = detailsOf(texts, describePool(values, texts.db));
  const found = { text: what + details.text, shape: what + details.shape, group: what, since: null };
  return { found, sure: receiver?.mapped === true };
}

function describe(statement: string, connection: Texts, pool: string): Found | null {
  // A replacement character stands for bytes that are no text.
  if (!STATEMENT.test(statement) || statement.includes('\ufffd') || statement.includes('\0')) return null;
  const shape = foldSql(statement);
  const details = detailsOf(connection, pool);
  return {
    text: shown(statement) + details.text,
    shape: shown(shape) + details.shape,
    group: shown(foldLists(shape)),
    since: null,
  };
}

/** ` (on 10.0.0.4:5555 -> 10.0.0.5:5432; pool: 2 open, ...)` */
function detailsOf(connection: Texts, pool: string): Texts {
  const joined = (text: string): string => {
    const parts = [text, pool].filter((part) => part !== '').join('; ');
    return parts === '' ? '' : ` (${parts})`;
  };
  return { text: joined(connection.text), shape: joined(connection.shape) };
}
