import type { DecoderSpec, TextForm } from '../../snapshots/work.js';
import type { Value, Values } from '../types/values.js';
import { shown, type Call, type Decoder, type Found } from './decoder.js';
import { foldLists, foldPath, foldSql } from './fold.js';

/** Bytes of a slice that are taken for text. */
const MAX_BYTES = 4096;

/** What the texts of one string are: whole, without what only level `full` keeps, and what equal work has in common. */
interface Texts {
  readonly text: string;
  readonly shape: string;
  readonly group: string;
}

/** What a path leads to from a word: a string, or the struct that has the fields. */
interface Root {
  readonly from: string | Value;
  readonly mapped: boolean;
}

/** A decoder of the user's own. It is silent where a type, a field or a function is not as it says, or a pointer on the way is nil. */
export function ownDecoder(spec: DecoderSpec): Decoder {
  return {
    kind: spec.kind,
    handles: (func) => func === spec.function,
    decode: (call, values) => {
      const root = rootOf(spec, call, values);
      const found = root === null ? null : describe(spec, values, root.from);
      return root === null || found === null ? null : { found, sure: root.mapped };
    },
  };
}

function rootOf({ word: index, type }: DecoderSpec, call: Call, values: Values): Root | null {
  const [word, next] = [call.word(index), type.startsWith('*') ? null : call.word(index + 1)];
  if (word === null || word.value === 0) return null;
  if (type.startsWith('*')) return { from: values.at(type.slice(1), word.value), mapped: word.mapped };
  if (next === null) return null;
  if (type === 'string') return { from: values.stringAt(word.value, next.value), mapped: word.mapped };
  const dynamic = values.types.ofInterface(word.value, true);
  if (dynamic === null || next.value === 0 || (dynamic.isDirect && dynamic.kind !== 'ptr')) return null;
  const to = dynamic.isDirect ? values.typeAt(dynamic.elem) : dynamic;
  return { from: { type: to, addr: next.value }, mapped: next.mapped };
}

function describe({ text: parts }: DecoderSpec, values: Values, from: string | Value): Found | null {
  const found = { text: '', shape: '', group: '' };
  for (const part of parts) {
    const texts = typeof part === 'string' ? asItIs(part) : textsOf(values, from, part.path, part.as);
    if (texts === null) return null;
    found.text += texts.text;
    found.shape += texts.shape;
    found.group += texts.group;
  }
  return { text: shown(found.text), shape: shown(found.shape), group: shown(found.group), since: null };
}

function asItIs(text: string): Texts {
  return { text, shape: text, group: text };
}

function textsOf(values: Values, from: string | Value, path: string, as: TextForm): Texts | null {
  if (typeof from === 'string') return path === '' ? formed(from, as) : null;
  const at = path === '' ? from : values.get(from, path);
  const value = at === null ? null : values.target(at);
  if (value === null) return null;
  switch (value.type.kind) {
    case 'string':
      return formed(values.string(value), as);
    case 'slice': {
      const bytes = values.bytes(value, MAX_BYTES);
      return bytes === null ? null : formed(Buffer.from(bytes).toString('utf8'), as);
    }
    case 'bool': {
      const byte = values.number(value);
      return byte > 1 ? null : asItIs(String(byte === 1));
    }
    default: {
      const number = String(values.number(value));
      return { text: number, shape: number, group: '{n}' };
    }
  }
}

function formed(text: string, as: TextForm): Texts | null {
  // A replacement character stands for bytes that are no text.
  if (text.includes('\ufffd') || text.includes('\0')) return null;
  switch (as) {
    case 'text':
      return { text: shown(text), shape: '?', group: '?' };
    case 'plain':
      return asItIs(shown(text));
    case 'path': {
      const [path = ''] = text.split(/[?#]/, 1);
      return { text: shown(text), shape: shown(path), group: shown(foldPath(path)) };
    }
    case 'sql': {
      const shape = foldSql(text);
      return { text: shown(text), shape: shown(shape), group: shown(foldLists(shape)) };
    }
  }
}
