import type { Value, Values } from '../types/values.js';
import { MAX_FD } from '../runtime/poll-desc.js';
import { receiverType, shown, textOf, type Decoder, type Found } from './decoder.js';

/** A file or pipe that a goroutine reads or writes: os.file of os/file_unix.go, which begins with a poll.FD. */
export const file: Decoder = {
  kind: 'file',
  handles: (func) => isOfFile(func) || receiverType(func) === 'internal/poll.FD',
  decode: (call, values) => {
    if (!isOfFile(call.func) && !isOfFile(call.caller)) return null;
    const receiver = call.word(0);
    const found = receiver === null ? null : describe(values, fileAt(values, call.func, receiver.value));
    return receiver === null || found === null ? null : { found, sure: receiver.mapped };
  },
};

function isOfFile(func: string): boolean {
  const type = receiverType(func);
  return type === 'os.File' || type === 'os.file';
}

function fileAt(values: Values, func: string, receiver: Value['addr']): Value | null {
  if (receiverType(func) !== 'os.File') return values.at('os.file', receiver);
  const inner = values.get(values.at('os.File', receiver), 'file');
  return inner === null ? null : values.target(inner);
}

function describe(values: Values, at: Value | null): Found | null {
  const sysfd = at === null ? null : values.get(at, 'pfd.Sysfd');
  const fd = sysfd === null ? -1 : values.number(sysfd);
  if (at === null || fd < 0 || fd >= MAX_FD) return null;
  const name = textOf(values, at, 'name');
  const shape = `fd ${fd}`;
  return { text: name === '' ? shape : `${shape} ${shown(name)}`, shape, group: 'a file', since: null };
}
