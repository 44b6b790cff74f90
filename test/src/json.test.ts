import t from 'tap';
import { jsonPieces } from '../../src/render/json.js';
import { jsonText } from '../../src/render/text.js';

const DOCUMENTS: Readonly<Record<string, unknown>> = {
  'a scalar': 'x',
  nothing: null,
  'an empty object': {},
  'an empty array': [],
  'fields of all kinds': { a: 1, b: null, c: undefined, d: 'x\ny', e: true, f: -0, g: 1e300, h: NaN },
  'objects in objects': { a: { b: { c: {}, d: [] } } },
  'arrays in arrays': [[], [[1], [2, [3]]], {}],
  'objects in arrays': { a: [{ b: 1, c: [1, 2] }, null, undefined, 'x'] },
  'names and texts that need escapes': { 'a"\n\u202e': ['\u2028', '\u0007', 'line\nline'] },
};

t.test('json: pieces are what JSON.stringify makes', (t) => {
  for (const [name, document] of Object.entries(DOCUMENTS)) {
    t.equal([...jsonPieces(document)].join(''), jsonText(document, 2), name);
  }
  t.end();
});

t.test('json: an iterable is an array whose items are asked for one at a time', (t) => {
  const COUNT = 100_000;
  let asked = 0;
  const items = {
    *[Symbol.iterator](): Iterator<{ n: number }> {
      while (asked < COUNT) yield { n: asked++ };
    },
  };
  const pieces: string[] = [];
  for (const piece of jsonPieces({ items, after: 1 })) {
    if (pieces.length === 0) t.ok(asked < COUNT / 10, 'the first piece comes before most items were asked for');
    pieces.push(piece);
  }
  const expected = { items: Array.from({ length: COUNT }, (_, n) => ({ n })), after: 1 };
  t.equal(pieces.join(''), jsonText(expected, 2));
  t.end();
});
