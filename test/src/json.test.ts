import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { listAll } from '../../analyze/report/all-runtimes.js';
import type { CallFrame, GoroutineWithStack } from '../../analyze/report/model.js';
import { GoroutineJson } from '../../src/render/stack-json.js';
import { jsonPieces } from '../../src/render/json.js';
import { jsonText } from '../../src/render/text.js';
import { openTarget } from '../../src/targets/open-target.js';

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));

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

/** What JSON has to escape, or a terminal would obey. */
const HOSTILE = '"\\\n\u001b[2J\u009b\u202e\ud800';

function oddFrames(frame: CallFrame): CallFrame[] {
  return [
    ...[frame, frame, { ...frame, sp: '0x1', fp: '0x2' }],
    ...[
      { ...frame, args: null, argsLive: '', argsPointers: '' },
      { ...frame, args: HOSTILE },
      { ...frame, args: '' },
    ],
    ...[
      { ...frame, func: HOSTILE },
      { ...frame, file: HOSTILE },
      { ...frame, line: -1 },
      { ...frame, pc: HOSTILE },
    ],
    ...[
      { ...frame, argsLive: HOSTILE },
      { ...frame, argsPointers: HOSTILE },
      { ...frame, inlined: !frame.inlined },
    ],
  ];
}

function* oddOnes(goroutine: GoroutineWithStack): Iterable<GoroutineWithStack> {
  const loc = { func: HOSTILE, file: '', line: 0, pc: '0x0' };
  yield { ...goroutine, frames: goroutine.frames.flatMap(oddFrames) };
  yield { ...goroutine, frames: [], creator: null, start: loc, entry: { ...loc, line: 1 }, current: loc, user: null };
  yield { ...goroutine, labels: { [HOSTILE]: HOSTILE, ['__proto__']: '' }, waitReason: HOSTILE, truncated: HOSTILE };
  yield { ...goroutine, ancestors: [{ goid: 1, frames: [loc], creator: null }] };
}

t.test('json: goroutines are what JSON.stringify makes of each', async (t) => {
  for (const sample of ['queue.gsp', 'labels.gsp', 'crash.gsp', 'torn.gsp', 'go1.12.gsp', 'arm64.gsp']) {
    const target = await openTarget({ file: join(SAMPLES, sample) });
    const json = new GoroutineJson();
    let count = 0;
    for (const goroutine of listAll(target.programs, 'stack')) {
      for (const one of [goroutine, ...oddOnes(goroutine)]) {
        if (json.textOf(one) !== jsonText(one)) t.equal(json.textOf(one), jsonText(one), sample);
        count++;
      }
    }
    t.ok(count > 20, sample);
    target.close();
  }
});
