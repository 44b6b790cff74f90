import type { Value, Values } from '../types/values.js';
import { shown, textOf, type Found } from './decoder.js';
import { foldPath } from './fold.js';

const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
const PATH = /^[^\u0000-\u0020\u007f]+$/;
/** An IP address, which is no name, with a port or without. */
const ADDRESS = /^(?:\d+(?:\.\d+){3}|\[[0-9a-f:.]+\])(?::\d+)?$/i;

/** What a server knows of a request beside what the client sent. */
export interface Served {
  /** The peer's address; empty if it is not known. */
  readonly peer: string;
  /** What was answered so far; see {@link sentText}. */
  readonly sent: string;
  readonly since: number | null;
}

/** A request to a server: net/http.Request, or ServerRequest of net/http/internal/http2. null for what is none. */
export function servedRequest(values: Values, request: Value, { peer, sent, since }: Served): Found | null {
  const method = textOf(values, request, 'Method');
  const { path, query } = targetOf(values, request);
  if (!METHOD.test(method) || !PATH.test(path)) return null;
  const host = textOf(values, request, 'Host');
  const from = fromText(peer);
  return {
    text: `${method} ${shown(path + query)}${host === '' ? '' : ` host=${shown(host)}`}${from}${sent}`,
    shape: `${method} ${shown(path)}${from}${sent}`,
    group: shown(`${method} ${foldPath(path)}`),
    since,
  };
}

/** ` from 10.0.0.4:5555` */
export function fromText(peer: string): string {
  return peer === '' ? '' : ` from ${shown(peer)}`;
}

/** The status, and the bytes of the body, that a handler has written, by the fields of its response. */
export function sentText(values: Values, response: Value, statusField: string, bytesField: string): string {
  const wrote = values.get(response, 'wroteHeader');
  if (wrote === null || values.number(wrote) === 0) return '';
  const [status, written] = [values.get(response, statusField), values.get(response, bytesField)];
  if (status === null || written === null) return '';
  return ` status=${values.number(status)} written=${values.number(written)}`;
}

/** A request of a client: net/http.Request, or ClientRequest of net/http/internal/http2. Users in URLs are never told. */
export function sentRequest(values: Values, request: Value): Found | null {
  // No method stands for GET.
  const method = textOf(values, request, 'Method') || 'GET';
  const scheme = textOf(values, request, 'URL.Scheme');
  const host = textOf(values, request, 'URL.Host');
  const path = (textOf(values, request, 'URL.RawPath') || textOf(values, request, 'URL.Path') || '/').replace(
    /[\u0000-\u0020\u007f]/g,
    encodeURIComponent,
  );
  if (!METHOD.test(method) || !/^https?$/.test(scheme) || host === '' || !path.startsWith('/')) return null;
  const query = textOf(values, request, 'URL.RawQuery');
  const site = (hidden: string): string => `${method} ${scheme}://${hidden}`;
  return {
    text: site(shown(host) + shown(path + (query === '' ? '' : `?${query}`))),
    shape: site(hiddenHost(host) + shown(path)),
    group: site(hiddenHost(host) + shown(foldPath(path))),
    since: null,
  };
}

/** A host without its name: that is a string of the program, and an address is none. */
export function hiddenHost(host: string): string {
  return ADDRESS.test(host) ? host : `{host}${/:\d+$/.exec(host)?.[0] ?? ''}`;
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
