import type { Addr } from '../../snapshots/address.js';
import type { Value, Values } from '../types/values.js';
import { textOf, type Decoder, type Found } from './decoder.js';
import { fromText, sentText, servedRequest } from './http-request.js';

/** In the low byte of conn.curState: http.ConnState of net/http/server.go. Seconds since 1970 are above it. */
const STATES = ['new', 'active', 'idle'];

/** Serves the requests of a connection. */
export const SERVE = 'net/http.(*conn).serve';
/** While a handler runs, a goroutine of its own waits for what else the client sends, or for its end. */
const BACKGROUND_READ = 'net/http.(*connReader).backgroundRead';

/**
 * A connection of an HTTP/1 server, and the request that it serves: net/http/server.go. `conn` has a goroutine of its own,
 * in which handlers run. The pair of curState and curReq says which request it is; `response.conn` refers back.
 */
export const httpServer: Decoder = {
  kind: 'http-server',
  handles: (func) => func === SERVE || func === BACKGROUND_READ,
  decode: (call, values) => {
    const receiver = call.word(0);
    if (receiver === null) return null;
    const found =
      call.func === SERVE
        ? describe(values, values.at('net/http.conn', receiver.value))
        : backgroundRead(values, values.at('net/http.connReader', receiver.value));
    return found === null ? null : { found, sure: receiver.mapped };
  },
};

/** The reader has no conn once the handler is done. */
function backgroundRead(values: Values, reader: Value): Found | null {
  const at = values.get(reader, 'conn');
  const conn = at === null ? null : values.target(at);
  const peer = conn === null ? '' : textOf(values, conn, 'remoteAddr');
  const text = `background read of connection${fromText(peer)}`;
  return peer === '' ? null : { text, shape: text, group: 'background read', since: null };
}

function describe(values: Values, conn: Value): Found | null {
  const packed = lastWord(values, values.get(conn, 'curState'));
  const state = STATES[packed % 256];
  const since = Math.floor(packed / 256);
  const peer = textOf(values, conn, 'remoteAddr');
  if (state === 'new' || state === 'idle') {
    const text = state === 'new' ? 'new connection' : 'idle connection';
    return { text: text + fromText(peer), shape: text + fromText(peer), group: text, since };
  }
  const responseAt = state === 'active' ? lastWord(values, values.get(conn, 'curReq')) : 0;
  if (responseAt === 0) return null;
  const response = values.at('net/http.response', responseAt as Addr);
  const owner = values.get(response, 'conn');
  const request = values.get(response, 'req');
  if (owner === null || request === null || values.memory.ptr(owner.addr) !== conn.addr) return null;
  return servedRequest(values, request, { peer, sent: sentText(values, response, 'status', 'written'), since });
}

/** The last 8 bytes of a value: the word in an atomic.Uint64 or atomic.Pointer, and the data of an atomic.Value. */
function lastWord(values: Values, value: Value | null): number {
  if (value === null || value.type.sizeBytes < 8) return 0;
  return values.memory.word(value.addr, value.type.sizeBytes - 8);
}
