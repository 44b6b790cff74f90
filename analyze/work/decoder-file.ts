import { usageError, type GospyError } from '../../snapshots/errors.js';
import { OWN_KIND, TEXT_FORMS, type DecoderSpec, type TextPart } from '../../snapshots/work.js';

/** More than anybody writes by hand. */
const MAX_DECODERS = 1000;
const MAX_WORD = 100;
const MAX_LENGTH = 1000;
/** A path of fields; empty for the value itself. */
const PATH = /^(?:[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*)?$/u;
/** A function of a package, as the linker names it. */
const FUNCTION = /^[^\s]+\.[^\s]+$/;
const KEYS = ['kind', 'function', 'word', 'type', 'text'] as const;
type Key = (typeof KEYS)[number];

/**
 * Reads the decoders in a text of JSON: `{"decoders": [...]}`, as docs/decoders.md describes it. Throws a usage error that names what
 * is wrong, and where.
 */
export function parseDecoders(json: string, file: string): DecoderSpec[] {
  const wrong = (what: string): GospyError =>
    usageError(`${file}: ${what}`, { hint: 'docs/decoders.md describes these files' });
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch (error) {
    throw wrong(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const list = isObject(document) ? document['decoders'] : null;
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_DECODERS)
    throw wrong(`"decoders" has to be a list of 1 to ${MAX_DECODERS}`);
  return list.map((entry: unknown, i) => parseOne(entry, (what) => wrong(`decoders[${i}]${what}`)));
}

function parseOne(entry: unknown, wrong: (what: string) => GospyError): DecoderSpec {
  if (!isObject(entry)) throw wrong(' is not an object');
  const unknown = Object.keys(entry).find((key) => !KEYS.some((known) => known === key));
  if (unknown !== undefined) throw wrong(` has ${JSON.stringify(unknown)}: it takes ${KEYS.join(', ')}`);
  const text = (key: Key, fits: (value: string) => boolean, what: string): string => {
    const value = entry[key];
    if (typeof value === 'string' && value.length <= MAX_LENGTH && fits(value)) return value;
    throw wrong(`.${key} is not ${what}: ${value === undefined ? 'nothing' : JSON.stringify(value)}`);
  };
  const word = entry['word'] ?? 0;
  if (typeof word !== 'number' || !Number.isInteger(word) || word < 0 || word > MAX_WORD)
    throw wrong(`.word is not a whole number from 0 to ${MAX_WORD}: ${JSON.stringify(word)}`);
  return {
    kind: text('kind', (value) => OWN_KIND.test(value), 'a word of small letters, digits and -'),
    function: text('function', (value) => FUNCTION.test(value), 'a function with its package'),
    word,
    type: text('type', isType, '"string", "interface" or a type behind a *, such as "*main.order"'),
    text: parseText(
      text('text', (value) => value !== '', 'a text'),
      (what) => wrong(`.text ${what}`),
    ),
  };
}

function isType(text: string): boolean {
  return text === 'string' || text === 'interface' || /^\*[^\s*]+\.[^\s*.]+$/.test(text);
}

/** `{path}` and `{path|form}` stand for values; `{{` and `}}` for braces. */
function parseText(text: string, wrong: (what: string) => GospyError): TextPart[] {
  return [...text.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[^{}]+|[{}]/g)].map(([all, inside]) => {
    if (all === '{{' || all === '}}') return all.slice(1);
    if (all === '{' || all === '}') throw wrong(`has a ${all} alone: ${JSON.stringify(text)}`);
    if (inside === undefined) return all;
    const [path = '', form = 'text', ...more] = inside.split('|');
    const as = TEXT_FORMS.find((known) => known === form);
    if (!PATH.test(path)) throw wrong(`has no path of fields in ${all}`);
    if (as === undefined || more.length > 0) throw wrong(`has ${all}: the forms are ${TEXT_FORMS.join(', ')}`);
    return { path, as };
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
