import type { Addr } from '../../snapshots/address.js';
import type { Value, Values } from '../types/values.js';
import { onlyOne, textOf, type Decoder } from './decoder.js';
import { sentText, servedRequest } from './http-request.js';

/**
 * Where an HTTP/2 server is: bundled with net/http up to Go 1.26 (h2_bundle.go), in a package of its own since, and x/net. The
 * function in which handlers run, and the prefix of the types.
 */
const PREFIXES: Readonly<Record<string, string>> = {
  'net/http.(*http2serverConn).runHandler': 'net/http.http2',
  'net/http/internal/http2.(*serverConn).runHandler': 'net/http/internal/http2.',
  'golang.org/x/net/http2.(*serverConn).runHandler': 'golang.org/x/net/http2.',
};

export const HTTP2_HANDLERS: ReadonlySet<string> = new Set(Object.keys(PREFIXES));

/**
 * The request that a stream of an HTTP/2 server serves, on a goroutine of its own: server.go of x/net/http2. The
 * responseWriter has its responseWriterState until the handler is done. It is an argument, and mostly no longer live there:
 * a deferred call has it, whose closure is in the frame.
 */
export const http2Server: Decoder = {
  kind: 'http-server',
  handles: (func) => HTTP2_HANDLERS.has(func),
  decode: (call, values) => {
    const prefix = PREFIXES[call.func] ?? '';
    const writer = call.word(1);
    const response =
      writer === null
        ? onlyOne(values, call, (word) => stateOf(values, prefix, word))
        : stateOf(values, prefix, writer.value);
    const request = response === null ? null : values.get(response, 'req');
    if (response === null || request === null) return null;
    const peer = textOf(values, request, 'RemoteAddr');
    const sent = sentText(values, response, 'status', 'wroteBytes');
    const found = servedRequest(values, request, { peer, sent, since: null });
    return found === null ? null : { found, sure: writer?.mapped === true };
  },
};

/** The responseWriterState of a responseWriter: its connection is that of its stream. */
function stateOf(values: Values, prefix: string, writer: Addr): Value | null {
  const rws = values.get(values.at(`${prefix}responseWriter`, writer), 'rws');
  const state = rws === null ? null : values.target(rws);
  if (state === null) return null;
  const [conn, ofStream] = [values.get(state, 'conn'), values.get(state, 'stream.sc')];
  if (conn === null || ofStream === null) return null;
  const at = values.memory.ptr(conn.addr);
  return at !== 0 && at === values.memory.ptr(ofStream.addr) ? state : null;
}
