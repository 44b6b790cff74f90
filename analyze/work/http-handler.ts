import { pointedTo, textOf, type Decoder } from './decoder.js';
import { HTTP2_HANDLERS } from './http2-server.js';
import { servedRequest } from './http-request.js';
import { SERVE } from './http-server.js';

/** Types of a http.ResponseWriter whose field `req` is the request: server.go of net/http. The second is TimeoutHandler's. */
const WRITERS: ReadonlySet<string> = new Set(['net/http.response', 'net/http.timeoutWriter']);

/**
 * The request for which a goroutine runs that is not the one of its connection, as handlers within a TimeoutHandler are: by a
 * ResponseWriter among its arguments.
 */
export const httpHandler: Decoder = {
  kind: 'http-server',
  handles: (func) => !func.startsWith('runtime.'),
  needsInterface: true,
  decode: (call, values) => {
    for (const word of call.interfaces()) {
      const writer = pointedTo(word, values);
      if (writer === null || !WRITERS.has(writer.type.name)) continue;
      // The goroutine of a connection knows more.
      for (const { func } of call.stack()) if (func === SERVE || HTTP2_HANDLERS.has(func)) return null;
      const at = values.get(writer, 'req');
      const request = at === null ? null : values.target(at);
      const found =
        request === null
          ? null
          : servedRequest(values, request, { peer: textOf(values, request, 'RemoteAddr'), sent: '', since: null });
      if (found !== null) return { found, sure: word.mapped };
    }
    return null;
  },
};
