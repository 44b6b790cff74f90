import type { Value, Values } from '../types/values.js';
import { shown, textOf, type Decoder, type Found, type LiveWord } from './decoder.js';
import { hiddenHost, sentRequest } from './http-request.js';
import { connectedEnds } from './socket.js';

/** Sends a request over a connection, which is its receiver. */
const ROUND_TRIP = 'net/http.(*persistConn).roundTrip';
/** Where functions have a request: at which word, and its type. net/http: client.go, transport.go; h2_bundle.go up to 1.26. */
const REQUEST_AT: Readonly<Record<string, readonly [word: number, type: string]>> = {
  [ROUND_TRIP]: [1, 'net/http.transportRequest'],
  'net/http.(*Transport).getConn': [1, 'net/http.transportRequest'],
  'net/http.(*Transport).roundTrip': [1, 'net/http.Request'],
  'net/http.(*Client).do': [1, 'net/http.Request'],
  ...ofHttp2('net/http', 'http2', 'http2ClientConn', 'net/http.Request'),
  ...ofHttp2('golang.org/x/net/http2', '', 'ClientConn', 'net/http.Request'),
  ...ofHttp2('net/http/internal/http2', '', 'ClientConn', 'net/http/internal/http2.ClientRequest'),
};
/** The goroutines of a connection. */
const LOOPS: Readonly<Record<string, string>> = {
  'net/http.(*persistConn).readLoop': 'read',
  'net/http.(*persistConn).writeLoop': 'write',
};

/** A client of HTTP/2: transport.go of x/net/http2. Since 1.17, a goroutine of its own writes a request. */
function ofHttp2(path: string, prefix: string, conn: string, type: string): Record<string, [number, string]> {
  return {
    [`${path}.(*${prefix}Transport).RoundTripOpt`]: [1, type],
    [`${path}.(*${conn}).RoundTrip`]: [1, type],
    [`${path}.(*${conn}).roundTrip`]: [1, type],
    [`${path}.(*${prefix}clientStream).doRequest`]: [1, type],
    [`${path}.(*${prefix}clientStream).writeRequest`]: [1, type],
  };
}

/** A request that a goroutine sends, or whose answer it waits for; and the loops of a connection of HTTP/1. */
export const httpClient: Decoder = {
  kind: 'http-client',
  handles: (func) => func in REQUEST_AT || func in LOOPS,
  decode: (call, values) => {
    const loop = LOOPS[call.func];
    const [index, type] = REQUEST_AT[call.func] ?? [0, 'net/http.persistConn'];
    const word = call.word(index);
    if (word === null) return null;
    const value = values.at(type, word.value);
    const found = loop === undefined ? request(values, value) : connection(values, value, loop);
    if (found === null) return null;
    return {
      found: over(found, call.func === ROUND_TRIP ? call.word(0) : loop === undefined ? null : word, values),
      sure: word.mapped,
    };
  },
};

function request(values: Values, value: Value): Found | null {
  if (value.type.name !== 'net/http.transportRequest') return sentRequest(values, value);
  const inner = values.get(value, 'Request');
  const target = inner === null ? null : values.target(inner);
  return target === null ? null : sentRequest(values, target);
}

/** The same with the ends of its connection: both loops of it and the goroutine that sent a request over it have it. */
function over(found: Found, connection: LiveWord | null, values: Values): Found {
  const ends =
    connection === null
      ? null
      : values.attempt(() => {
          const conn = values.get(values.at('net/http.persistConn', connection.value), 'conn');
          const target = conn === null ? null : values.target(conn);
          return target === null ? null : connectedEnds(target, values);
        });
  if (ends === null) return found;
  return { ...found, text: `${found.text} (${ends.text})`, shape: `${found.shape} (${ends.shape})` };
}

/** What proxy it goes through is not told: its URL may have a password in it. */
function connection(values: Values, conn: Value, loop: string): Found | null {
  const scheme = textOf(values, conn, 'cacheKey.scheme');
  const host = textOf(values, conn, 'cacheKey.addr');
  const expected = values.get(conn, 'numExpectedResponses');
  if (!/^https?$/.test(scheme) || expected === null) return null;
  const state = values.number(expected) === 0 ? 'idle ' : '';
  const text = (to: string): string => `${loop} loop of ${state}connection to ${scheme}://${to}`;
  const at = host === '' ? 'a proxy' : shown(host);
  const shape = host === '' ? at : hiddenHost(host);
  return { text: text(at), shape: text(shape), group: text(shape), since: null };
}
