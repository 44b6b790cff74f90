import type { Value, Values } from '../types/values.js';
import { shown, textOf, type Call, type Decoder, type Found, type LiveWord } from './decoder.js';

const GRPC = 'google.golang.org/grpc';
/** In these, the stream follows the server, a transport or a context (two words each) or both: server.go of grpc. */
const OF_SERVER = new Set(
  ['handleStream', 'processUnaryRPC', 'processStreamingRPC'].map((name) => `${GRPC}.(*Server).${name}`),
);
const STREAM_AT = [3, 5];
/** Types of streams: those of servers have their own since grpc 1.69, in which the other one is embedded by a pointer. */
const STREAMS = [`${GRPC}/internal/transport.ServerStream`, `${GRPC}/internal/transport.Stream`];
/** The full name of a method: package, service and method. */
const METHOD = /^\/[\w.-]+\/\w+$/;

/** The method that a gRPC server executes. */
export const grpcServer: Decoder = {
  kind: 'grpc-server',
  handles: (func) => OF_SERVER.has(func) || func.startsWith(`${GRPC}.(*serverStream).`),
  decode: (call, values) => {
    if (!OF_SERVER.has(call.func)) return ofServerStream(call, values);
    for (const index of STREAM_AT) {
      const word = call.word(index);
      const found = word === null ? null : values.attempt(() => ofStream(values, word));
      if (word !== null && found !== null) return { found, sure: word.mapped };
    }
    return null;
  },
};

function ofStream(values: Values, { value }: LiveWord): Found | null {
  const type = STREAMS.find((name) => values.index.named(name) !== null);
  return type === undefined ? null : grpcMethod(methodOf(values, values.at(type, value)), '', '');
}

/** What handlers of streams have: stream.go of grpc. */
function ofServerStream(call: Call, values: Values): ReturnType<Decoder['decode']> {
  const receiver = call.word(0);
  const stream = receiver === null ? null : values.get(values.at(`${GRPC}.serverStream`, receiver.value), 's');
  const target = stream === null ? null : values.target(stream);
  const found = target === null ? null : grpcMethod(methodOf(values, target), '', '');
  return receiver === null || found === null ? null : { found, sure: receiver.mapped };
}

function methodOf(values: Values, stream: Value): string {
  const isOwn = values.types.fieldsOf(stream.type).some(({ name }) => name === 'method');
  return textOf(values, stream, isOwn ? 'method' : 'Stream.method');
}

/** What is told of a call by the full name of its method; null where it is none. `to` and `hiddenTo` say to whom it goes. */
export function grpcMethod(method: string, to: string, hiddenTo: string): Found | null {
  if (!METHOD.test(method)) return null;
  const name = shown(method);
  return { text: name + to, shape: name + hiddenTo, group: name, since: null };
}
