import type { Value, Values } from '../types/values.js';
import { receiverOf, receiverType, shown, textOf, type Decoder } from './decoder.js';
import { grpcMethod } from './grpc-server.js';
import { hiddenHost } from './http-request.js';

const GRPC = 'google.golang.org/grpc';
/** Receivers of methods that a call goes through, and how they lead to its clientStream: stream.go of grpc. */
const STREAM_OF: Readonly<Record<string, string | null>> = {
  [`${GRPC}.clientStream`]: null,
  [`${GRPC}.csAttempt`]: 'cs',
};

/** The method that a gRPC client calls, and whom. */
export const grpcClient: Decoder = {
  kind: 'grpc-client',
  handles: (func) => (receiverType(func) ?? '') in STREAM_OF,
  decode: (call, values) => {
    const receiver = receiverOf(call);
    if (receiver === null) return null;
    const stream = streamOf(values, receiver.type, receiver.word.value);
    if (stream === null) return null;
    const host = textOf(values, stream, 'callHdr.Host');
    const [to, hiddenTo] = host === '' ? ['', ''] : [` to ${shown(host)}`, ` to ${hiddenHost(host)}`];
    const found = grpcMethod(textOf(values, stream, 'callHdr.Method'), to, hiddenTo);
    return found === null ? null : { found, sure: receiver.word.mapped };
  },
};

function streamOf(values: Values, type: string, at: Value['addr']): Value | null {
  const field = STREAM_OF[type] ?? null;
  const stream = field === null ? null : values.get(values.at(type, at), field);
  return field === null ? values.at(type, at) : stream === null ? null : values.target(stream);
}
