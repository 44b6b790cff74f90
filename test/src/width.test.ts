import t from 'tap';
import { factLines } from '../../src/render/facts.js';
import { shortPath, table } from '../../src/render/table.js';
import { padEnd, padStart, takeEnd, takeStart, widthOf } from '../../src/render/width.js';

/** By Unicode's East Asian Width and emoji presentation. */
const WIDTHS = new Map([
  ['', 0],
  ['main.main', 9],
  ['漢字', 4],
  ['ｶﾅ', 2],
  ['한글', 4],
  ['Ｆｕｌｌ', 8],
  ['😀', 2],
  ['👩‍👩‍👧', 2],
  ['e\u0301', 1],
  ['naïve', 5],
  ['▁▂▃…', 4],
]);

t.test('width: columns, not code units', (t) => {
  for (const [text, columns] of WIDTHS) t.equal(widthOf(text), columns, text);
  t.end();
});

t.test('width: padding fills up to the columns', (t) => {
  t.equal(padStart('漢', 4), '  漢');
  t.equal(padEnd('漢', 4), '漢  ');
  t.equal(padEnd('e\u0301', 3), 'e\u0301  ');
  t.equal(padEnd('abcdef', 4), 'abcdef', 'nothing is cut');
  t.end();
});

t.test('width: cutting keeps whole characters', (t) => {
  t.equal(takeStart('漢字です', 5), '漢字');
  t.equal(takeEnd('漢字です', 5), 'です');
  t.equal(takeStart('e\u0301e\u0301', 1), 'e\u0301');
  t.equal(takeEnd('x👩‍👩‍👧', 2), '👩‍👩‍👧');
  t.equal(takeEnd('x👩‍👩‍👧', 1), '');
  for (const text of WIDTHS.keys()) {
    for (let columns = 0; columns < 10; columns++) {
      t.ok(widthOf(takeStart(text, columns)) <= columns && text.startsWith(takeStart(text, columns)));
      t.ok(widthOf(takeEnd(text, columns)) <= columns && text.endsWith(takeEnd(text, columns)));
    }
    t.equal(takeStart(text, 10), text);
    t.equal(takeEnd(text, 10), text);
  }
  t.end();
});

t.test('table: columns are aligned after wide characters', (t) => {
  const text = table(
    ['NAME', 'WHERE'],
    [
      ['漢字です', 'x'],
      ['ab', 'x'],
    ],
  );
  t.equal(text, 'NAME      WHERE\n漢字です  x\nab        x\n');
  t.equal(
    factLines([
      ['file', 'a'],
      ['字', 'b'],
    ]),
    'file  a\n字    b\n',
  );
  t.end();
});

t.test('path: the end of it, cut at a slash', (t) => {
  t.equal(shortPath('/a/b/c.go', 9), '/a/b/c.go');
  t.equal(shortPath('/src/データ/main.go', 16), '…/データ/main.go');
  t.equal(shortPath('/src/データ/main.go', 15), '…/main.go');
  t.equal(shortPath('/src/main.go', 3), '…/main.go', 'the name is always whole');
  t.end();
});
