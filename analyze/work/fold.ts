/** Parts of a path that tell one thing from others of its kind: numbers, and long words with digits, such as UUIDs and hashes. */
const ID = /^(?:\d+|0x[0-9a-f]+|(?=[^/]*\d)[0-9a-f-]{16,}|(?=[^/]*\d)(?=[^/]*[a-zA-Z])[\w-]{20,})$/i;

/** A path with its ids replaced: `/v1/orders/{n}`. */
export function foldPath(path: string): string {
  return path
    .split('/')
    .map((part) => (ID.test(part) ? '{n}' : part))
    .join('/');
}

/** What a statement consists of, as far as literals go. Names in backquotes or brackets, and parameters such as $1, stay. */
const SQL_TOKEN =
  /(--[^\n]*|#[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(\$\w*\$)|(['"])|([$:@]\w+|`[^`]*`|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(\.?\d[\w.]*)|[\s\S]/gy;

/**
 * A statement without literals, each replaced by `?`, and without comments. Dialects differ in what ends a string: where it
 * holds a backslash, all from there on is left out. Texts in double quotes count as strings, which they are in some.
 */
export function foldSql(sql: string): string {
  let out = '';
  SQL_TOKEN.lastIndex = 0;
  for (let at = 0; at < sql.length; at = SQL_TOKEN.lastIndex) {
    const [token = '', comment, dollar, quote, word, number] = SQL_TOKEN.exec(sql) ?? [];
    if (token === '') break;
    if (comment !== undefined) out += ' ';
    else if (dollar !== undefined || quote !== undefined) {
      const end = dollar === undefined ? endOfString(sql, at, token) : sql.indexOf(dollar, at + dollar.length);
      out += '?';
      if (end < 0) return `${out}...`;
      SQL_TOKEN.lastIndex = dollar === undefined ? end : end + dollar.length;
    } else out += number === undefined ? (word ?? token) : '?';
  }
  return out.replace(/\s+/g, ' ').trim();
}

/** One past the quote that ends a string; a doubled one does not. -1 where that cannot be told. */
function endOfString(sql: string, start: number, quote: string): number {
  for (let at = start + 1; ; at += 2) {
    const end = sql.indexOf(quote, at);
    if (end < 0 || sql.slice(start, end).includes('\\')) return -1;
    if (sql[end + 1] !== quote) return end + 1;
    at = end;
  }
}

/** A folded statement in which lists of values are one value: what statements of different lengths have in common. */
export function foldLists(sql: string): string {
  return sql.replace(/\((?:\s*(?:\?|\$\d+)\s*,)+\s*(?:\?|\$\d+)\s*\)/g, '(?, ...)');
}
