import type { Value, Values } from '../types/values.js';
import { receiverOf, type Call, type Decoder, type Found, type LiveWord } from './decoder.js';

/** Descriptors are below this (fs.nr_open). */
const MAX_FD = 2 ** 30;
/** Connections in one another that are looked into. */
const MAX_WRAPPED = 4;

/** A socket that a goroutine reads, writes or accepts on: netFD of net/fd_posix.go, which begins with a poll.FD. */
export const socket: Decoder = {
  kind: 'socket',
  handles: (func) =>
    func.startsWith('net.(*netFD).') ||
    func === 'net.(*conn).Read' ||
    func === 'net.(*conn).Write' ||
    func.startsWith('internal/poll.(*FD).'),
  decode: (call, values) => {
    const receiver = receiverOf(call)?.word ?? null;
    if (receiver === null) return null;
    const fd = netFD(call, values, receiver);
    const found = fd === null ? null : describe(values, fd);
    return found === null ? null : { found, sure: receiver.mapped };
  },
};

/** A text, and what of it is kept where only `full` keeps strings. */
export interface Texts {
  readonly text: string;
  readonly shape: string;
}

/** Connections of package net, all of which are a net.conn, and of crypto/tls, which have another one: by which field. */
const NET_CONNS: Readonly<Record<string, string>> = {
  'net.TCPConn': 'fd',
  'net.UnixConn': 'fd',
  'crypto/tls.Conn': 'conn',
};

/** The ends of a connection that is a net.TCPConn, a net.UnixConn or a tls.Conn over one: `A -> B`. null for others. */
export function connectedEnds(conn: Value, values: Values): Texts | null {
  return values.attempt(() => {
    let at: Value | null = conn;
    for (let i = 0; i < MAX_WRAPPED && at !== null; i++) {
      const field: string | undefined = NET_CONNS[at.type.name];
      if (field === undefined) return null;
      const inner: Value | null = values.get(at, field);
      at = inner === null ? null : values.target(inner);
      if (at?.type.name === 'net.netFD') return bothEnds(values, at);
    }
    return null;
  });
}

function bothEnds(values: Values, fd: Value): Texts | null {
  const [local, remote] = [endOf(values, fd, 'laddr'), endOf(values, fd, 'raddr')];
  if (local === null || remote === null) return null;
  return { text: `${local.text} -> ${remote.text}`, shape: `${local.shape} -> ${remote.shape}` };
}

function netFD({ func, caller }: Call, values: Values, { value }: LiveWord): Value | null {
  if (func.startsWith('net.(*conn).')) {
    const fd = values.get(values.at('net.conn', value), 'fd');
    return fd === null ? null : values.target(fd);
  }
  if (func.startsWith('internal/poll.') && !caller.startsWith('net.(*')) return null;
  return values.at('net.netFD', value);
}

function describe(values: Values, fd: Value): Found | null {
  // A poll.FD is taken for the netFD that begins with it.
  if (values.get(fd, 'pfd')?.addr !== fd.addr) return null;
  const sysfd = values.get(fd, 'pfd.Sysfd');
  const [local, remote] = [endOf(values, fd, 'laddr'), endOf(values, fd, 'raddr')];
  const number = sysfd === null ? -1 : values.number(sysfd);
  if (number < 0 || number > MAX_FD || local === null) return null;
  const head = `fd ${number} ${local.network}`;
  const ends = (of: (end: End) => string): string =>
    remote === null ? `listening on ${of(local)}` : `${of(local)} -> ${of(remote)}`;
  return {
    text: `${head} ${ends(({ text }) => text)}`,
    shape: `${head} ${ends(({ shape }) => shape)}`,
    group: `${local.network} ${remote === null ? `listening on ${local.shape}` : 'connection'}`,
    since: null,
  };
}

/** One end of a connection. */
interface End {
  readonly network: string;
  readonly text: string;
  readonly shape: string;
}

/** TCPAddr, UDPAddr and UnixAddr of package net; null for nil, and for others. */
function endOf(values: Values, fd: Value, field: string): End | null {
  const at = values.get(fd, field);
  const end = at === null ? null : values.target(at);
  switch (end?.type.name) {
    case 'net.TCPAddr':
    case 'net.UDPAddr': {
      const [ip, port] = [values.get(end, 'IP'), values.get(end, 'Port')];
      const bytes = ip === null ? null : values.bytes(ip, 16);
      if (bytes === null || port === null) return null;
      const text = `${ipText(bytes)}:${values.number(port)}`;
      return { network: end.type.name === 'net.TCPAddr' ? 'tcp' : 'udp', text, shape: text };
    }
    case 'net.UnixAddr': {
      const name = values.get(end, 'Name');
      const text = name === null ? '' : values.string(name);
      return { network: 'unix', text: text === '' ? '@' : text, shape: '@' };
    }
    default:
      return null;
  }
}

/** As net.IP.String prints it, but for the longest run of zeros, which is not shortened; in brackets if it has colons. */
function ipText(ip: Uint8Array): string {
  const isMapped =
    ip.length === 16 && ip.subarray(0, 10).every((byte) => byte === 0) && ip[10] === 255 && ip[11] === 255;
  const four = isMapped ? ip.subarray(12) : ip;
  if (four.length === 4) return four.join('.');
  if (ip.length !== 16) return '';
  if (ip.every((byte) => byte === 0)) return '[::]';
  const groups = Array.from({ length: 8 }, (_, i) => (256 * (ip[2 * i] ?? 0) + (ip[2 * i + 1] ?? 0)).toString(16));
  return `[${groups.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::')}]`;
}
