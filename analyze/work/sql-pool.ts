import type { Value, Values } from '../types/values.js';
import { receiverOf, type Call } from './decoder.js';

/** What has a DB, and by which field: database/sql/sql.go. */
const DB_OF: Readonly<Record<string, string | null>> = {
  'database/sql.DB': null,
  'database/sql.Tx': 'db',
  'database/sql.Conn': 'db',
  'database/sql.Stmt': 'db',
};
/** A pool has fewer connections, and fewer wait for one. */
const MAX = 1e6;

/** `pool: 2 open, 2 in use, limit 2, 5 wait`: the connections of the DB of a call; empty where no call on its stack tells. */
export function poolText(call: Call, values: Values): string {
  for (const one of call.stack()) {
    const text = values.attempt(() => describePool(values, dbOf(one, values)) || null);
    if (text !== null) return text;
  }
  return '';
}

function dbOf(call: Call, values: Values): Value | null {
  const receiver = receiverOf(call);
  const field = receiver === null ? undefined : DB_OF[receiver.type];
  if (receiver === null || field === undefined) return null;
  const object = values.at(receiver.type, receiver.word.value);
  const db = field === null ? object : values.get(object, field);
  return db === null ? null : values.target(db);
}

/** The same of a DB. */
export function describePool(values: Values, db: Value | null): string {
  if (db === null) return '';
  const [open, limit] = [values.get(db, 'numOpen'), values.get(db, 'maxOpen')].map((value) =>
    value === null ? NaN : values.number(value),
  );
  const free = lengthOf(values, values.get(db, 'freeConn'));
  const waiting = lengthOf(values, values.get(db, 'connRequests'));
  if (open === undefined || limit === undefined || !(open <= MAX && free <= open && waiting <= MAX)) return '';
  const most = limit > 0 ? `limit ${limit}` : 'no limit';
  return `pool: ${open} open, ${open - free} in use, ${most}, ${waiting} wait`;
}

/** How many are in a slice, or a map, of which that is the first word (also of a Swiss one); a connRequestSet has a slice (1.23 and newer). */
function lengthOf(values: Values, value: Value | null): number {
  if (value === null) return NaN;
  const { memory } = values;
  switch (value.type.kind) {
    case 'slice':
      return memory.word(value.addr, 8);
    case 'map': {
      const map = memory.ptr(value.addr);
      return map === 0 ? 0 : memory.word(map);
    }
    case 'struct':
      return lengthOf(values, values.get(value, 's'));
    default:
      return NaN;
  }
}
