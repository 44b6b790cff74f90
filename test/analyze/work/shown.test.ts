import t from 'tap';
import { shown } from '../../../analyze/work/decoder.js';

t.test('work: a long text is cut between characters', (t) => {
  for (const before of [254, 255, 256]) {
    const text = shown(`${'x'.repeat(before)}${'\u{1f600}'.repeat(9)}`);
    t.match(text, /^x{254}/);
    t.equal(text, Buffer.from(text).toString(), 'no half of a character');
    t.ok(text.endsWith('...') && text.length <= 259, text);
  }
  t.equal(shown('\u{1f600} a\n b'), '\u{1f600} a b');
  t.end();
});
