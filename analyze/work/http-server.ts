import type { Addr } from '../../snapshots/address.js';
import type { Value, Values } from '../types/values.js';
import { shown, type Decoder, type Found } from './decoder.js';
import { foldPath } from './fold.js';

/** In the low byte of conn.curState: http.ConnState of net/http/server.go. Seconds since 1970 are above it. */
const STATES = ['new', 'active', 'idle'];
const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
const PATH = /^[^\u0000-\u0020\u007f]+$/;

/**
 * A connection of an HTTP/1 server, and the request that it serves: net/http/server.go. `conn` has a goroutine of its own,
 * in which handlers run. The pair of curState and curReq says which request it is; `response.conn` refers back.
 */
export const httpServer: Decoder = {
  kind: 'http-server',
  handles: (func) => func === 'net/http.(*conn).serve',
  decode: (call, values) => {
    const receiver = call.word(0);
    if (receiver === null) return null;
    const conn = values.at('net/http.conn', receiver.value);
    const found = describe(values, conn);
    return found === null ? null : { found, sure: receiver.mapped };
  },
};

function describe(values: Values, conn: Value): Found | null {
  const packed = lastWord(values, values.get(conn, 'curState'));
  const state = STATES[packed % 256];
  const since = Math.floor(packed / 256);
  const peer = textOf(values, conn, 'remoteAddr');
  const from = peer === '' ? '' : ` from ${shown(peer)}`;
  if (state === 'new' || state === 'idle') {
    const text = state === 'new' ? 'new connection' : 'idle connection';
    return { text: text + from, shape: text + from, group: text, since };
  }
  const responseAt = state === 'active' ? lastWord(values, values.get(conn, 'curReq')) : 0;
  if (responseAt === 0) return null;
  const response = values.at('net/http.response', responseAt as Addr);
  const owner = values.get(response, 'conn');
  const request = values.get(response, 'req');
  if (owner === null || request === null || values.memory.ptr(owner.addr) !== conn.addr) return null;
  const method = textOf(values, request, 'Method');
  const { path, query } = targetOf(values, request);
  if (!METHOD.test(method) || !PATH.test(path)) return null;
  const host = textOf(values, request, 'Host');
  const sent = sentOf(values, response);
  return {
    text: `${method} ${shown(path + query)}${host === '' ? '' : ` host=${shown(host)}`}${from}${sent}`,
    shape: `${method} ${shown(path)}${from}${sent}`,
    group: shown(`${method} ${foldPath(path)}`),
    since,
  };
}

/** What the client asked for: as it came, unless it named a whole URL, which may have a password in it. */
function targetOf(values: Values, request: Value): { path: string; query: string } {
  const uri = textOf(values, request, 'RequestURI');
  if (uri.startsWith('/')) {
    const mark = uri.indexOf('?');
    return mark < 0 ? { path: uri, query: '' } : { path: uri.slice(0, mark), query: uri.slice(mark) };
  }
  const query = textOf(values, request, 'URL.RawQuery');
  return { path: textOf(values, request, 'URL.Path') || '*', query: query === '' ? '' : `?${query}` };
}

/** The status, and the bytes of the body, that the handler has written. */
function sentOf(values: Values, response: Value): string {
  const wrote = values.get(response, 'wroteHeader');
  if (wrote === null || values.number(wrote) === 0) return '';
  const [status, written] = [values.get(response, 'status'), values.get(response, 'written')];
  if (status === null || written === null) return '';
  return ` status=${values.number(status)} written=${values.number(written)}`;
}

/** The last 8 bytes of a value: the word in an atomic.Uint64 or atomic.Pointer, and the data of an atomic.Value. */
function lastWord(values: Values, value: Value | null): number {
  if (value === null || value.type.sizeBytes < 8) return 0;
  return values.memory.word(value.addr, value.type.sizeBytes - 8);
}

function textOf(values: Values, struct: Value, path: string): string {
  const value = values.get(struct, path);
  return value === null ? '' : values.string(value);
}
