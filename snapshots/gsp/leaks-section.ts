import { BytesError } from '../bytes.js';
import { OUTCOMES, type LeakProof } from '../leak-proof.js';
import { Fields } from './fields.js';
import { pack } from './msgpack.js';

/** Name of the section that holds a proof. */
export const LEAKS = 'leaks';

/** Encodes the msgpack object of the section: words are little-endian, and outcomes are numbered within `names`. */
export function packLeaks({ gs, outcomes, from, names }: LeakProof): Buffer {
  const variables = Array.from(names, ([addr, name]) => ({ addr, name }));
  return pack({ names: OUTCOMES, gs: packWords(gs), outcomes, from: packWords(from), variables });
}

/**
 * Reads the decoded section. Outcomes that only a newer gospy knows are left out. Throws BytesError if it is damaged.
 */
export function readLeaks(value: unknown): LeakProof {
  const fields = new Fields(value, LEAKS);
  const names = fields.list('names', (item, where) => OUTCOMES.findIndex((name) => name === textOf(item, where)));
  const gs = readWords(fields, 'gs');
  const from = readWords(fields, 'from');
  const numbers = fields.bytes('outcomes');
  if (gs.length !== numbers.length || gs.length !== from.length) throw new BytesError(`${LEAKS} has unequal columns`);
  if (gs.some((g, i) => i > 0 && g <= (gs[i - 1] ?? 0))) throw new BytesError(`${LEAKS}.gs is out of order`);
  const outcomes = Array.from(numbers, (number) => names[number] ?? -1);
  const known = (_: unknown, i: number): boolean => (outcomes[i] ?? -1) >= 0;
  return {
    gs: gs.filter(known),
    outcomes: Uint8Array.from(outcomes.filter(known)),
    from: from.filter(known),
    names: readVariables(fields),
  };
}

/** Names of variables, which snapshots of an older gospy do not have. */
function readVariables(fields: Fields): Map<number, string> {
  if (!fields.has('variables')) return new Map();
  const pairs = fields.list('variables', (item, where): [number, string] => {
    const variable = new Fields(item, where);
    return [variable.address('addr'), variable.text('name')];
  });
  return new Map(pairs);
}

function packWords(words: Float64Array): Uint8Array {
  const out = new BigUint64Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = BigInt(words[i] ?? 0);
  return new Uint8Array(out.buffer);
}

function readWords(fields: Fields, key: string): Float64Array {
  const bytes = fields.bytes(key);
  if (bytes.length % 8 !== 0) throw new BytesError(`${fields.where}.${key} is not whole words`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => Number(view.getBigUint64(8 * i, true)));
}

function textOf(item: unknown, where: string): string {
  if (typeof item !== 'string') throw new BytesError(`${where} is not text`);
  return item;
}
