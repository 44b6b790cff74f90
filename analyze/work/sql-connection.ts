import type { Value, Values } from '../types/values.js';
import { pointedTo, receiverOf, type Call } from './decoder.js';
import { connectedEnds, type Texts } from './socket.js';
import { unixMs } from './time-value.js';

const DB = 'database/sql.(*DB).';
/** Functions of database/sql (sql.go) that have a driverConn among their arguments: at which word. */
const CONN_AT: Readonly<Record<string, number>> = {
  [`${DB}queryDC`]: 5,
  [`${DB}execDC`]: 3,
  [`${DB}prepareDC`]: 3,
  [`${DB}beginDC`]: 3,
};
/** ... a driverStmt, whose Locker is the driverConn that it is prepared on. */
const STATEMENT_AT: Readonly<Record<string, number>> = {
  'database/sql.rowsiFromStatement': 4,
  'database/sql.resultFromStatement': 4,
};
/** What locks a driverConn for a call of the driver: an interface holds it. */
const WITH_LOCK = 'database/sql.withLock';
const DRIVER_CONN = 'database/sql.driverConn';
/** Where a goroutine waits until another one returns its connection, and where it makes one. */
const CONN = `${DB}conn`;

/** Structs in one another, and fields, that are searched for the socket of a driver's connection. */
const MAX_DEPTH = 4;
const MAX_LOOKED_AT = 200;

/** What is told of a connection, and the DB that it belongs to, if the connection tells. */
export interface Connection extends Texts {
  readonly db: Value | null;
}

/** Which connection of its pool a call has: `on ENDS`, or what it does to get one; empty where nothing tells. */
export function connectionOf(call: Call, values: Values): Connection {
  let isInnermost = true;
  for (const one of call.stack()) {
    if (one.func.startsWith('runtime.')) continue;
    if (one.func === CONN) return same(isInnermost ? 'waits for a connection' : 'opens a connection');
    isInnermost = false;
    const texts = values.attempt(() => {
      const conn = driverConnOf(one, values);
      return conn === null ? null : connectionText(conn, values);
    });
    if (texts !== null) return texts;
    if (one.func === call.func) break;
  }
  return same('');
}

function same(text: string, db: Value | null = null): Connection {
  return { text, shape: text, db };
}

function driverConnOf(call: Call, values: Values): Value | null {
  const receiver = receiverOf(call);
  if (receiver?.type === DRIVER_CONN) return values.at(DRIVER_CONN, receiver.word.value);
  if (call.func === WITH_LOCK) {
    for (const word of call.interfaces()) {
      const locked = pointedTo(word, values);
      if (locked?.type.name === DRIVER_CONN) return locked;
    }
    return null;
  }
  const [conn, statement] = [CONN_AT[call.func], STATEMENT_AT[call.func]].map((at) =>
    at === undefined ? null : call.word(at),
  );
  if (conn) return values.at(DRIVER_CONN, conn.value);
  if (!statement) return null;
  const locker = values.get(values.at('database/sql.driverStmt', statement.value), 'Locker');
  return locker === null ? null : values.target(locker);
}

/** `on 10.0.0.4:5555 -> 10.0.0.5:5432`: the ends of its socket, or else since when it is open. null for what is no driverConn in use. */
export function connectionText(conn: Value, values: Values): Connection | null {
  const inUse = conn.type.name === DRIVER_CONN ? values.get(conn, 'inUse') : null;
  if (inUse === null || values.number(inUse) !== 1) return null;
  const [inner, at] = [values.get(conn, 'ci'), values.get(conn, 'db')];
  const db = at === null ? null : values.target(at);
  const ends = inner === null ? null : socketIn(inner, values);
  if (ends !== null) return { text: `on ${ends.text}`, shape: `on ${ends.shape}`, db };
  const createdMs = unixMs(values, values.get(conn, 'createdAt'));
  return createdMs === null ? null : same(`on a connection of ${new Date(createdMs).toISOString()}`, db);
}

/** The one socket that a driver's connection leads to on the shortest way; null where there is none, or there are several. */
function socketIn(connection: Value, values: Values): Texts | null {
  let level = [connection];
  let looked = 0;
  for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++) {
    const found = new Map<string, Texts>();
    const next: Value[] = [];
    for (const at of level) {
      if (++looked > MAX_LOOKED_AT) return null;
      const object = values.attempt(() => values.target(at));
      if (object?.type.kind !== 'struct') continue;
      const ends = connectedEnds(object, values);
      if (ends !== null) found.set(ends.text, ends);
      for (const field of values.types.fieldsOf(object.type)) {
        const inner = values.fieldValue(object, field);
        if (inner !== null && MAY_LEAD.has(inner.type.kind)) next.push(inner);
      }
    }
    const [first, ...others] = found.values();
    if (first !== undefined) return others.length === 0 ? first : null;
    level = next;
  }
  return null;
}

const MAY_LEAD: ReadonlySet<string> = new Set(['ptr', 'interface', 'struct']);
