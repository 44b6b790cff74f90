import t from 'tap';
import { parseGoVersion } from '../../analyze/binary/go-version.js';
import table from '../../analyze/runtime/layouts.json' with { type: 'json' };
import { Layouts, NO_DEBUG_INFO, type StructName } from '../../analyze/runtime/layouts.js';
import { buildGo, requireGo } from '../support/go.js';
import { RELEASES, type Release } from '../support/releases.js';
import { readDebugInfo } from './debuginfo.js';

const STRUCTS = Object.keys(table) as StructName[];
/** Fields without size; NotInHeap marks structs that may not lie on the heap. */
const MARKERS = new Set(['_', 'NotInHeap']);

for (const [release, exact] of Object.entries(RELEASES)) {
  t.test(`layouts: every struct is as in the DWARF of Go ${exact}`, async (t) => {
    if (!requireGo(t)) return;
    const program = await buildGo({ fixture: 'park', release: release as Release, link: 'plain' });
    const { structs } = await readDebugInfo(program, STRUCTS);
    const version = parseGoVersion(`go${exact}`);
    if (version === null) throw new Error(`${exact} is not a version`);
    const layouts = new Layouts(version, NO_DEBUG_INFO);
    t.equal(layouts.fit, 'known');
    for (const name of STRUCTS) {
      const layout = layouts.of(name);
      const actual = structs[name];
      if (actual === undefined) throw new Error(`the DWARF has no runtime.${name}`);
      t.equal(layout.sizeBytes, actual.size, `size of ${name}`);
      const fields = Object.entries(actual.fields).filter(([field]) => !MARKERS.has(field));
      t.same(
        Object.fromEntries(layout.fields.map((field) => [field, layout.offset(field)])),
        Object.fromEntries(fields),
        name,
      );
    }
  });
}

t.test('layouts: a release is known, a newer patch, or of another minor release', (t) => {
  const fitOf = (text: string): string => {
    const version = parseGoVersion(text);
    return version === null ? 'none' : new Layouts(version, NO_DEBUG_INFO).fit;
  };
  t.equal(fitOf('go1.12'), 'known');
  t.equal(fitOf('go1.21.0'), 'known');
  t.equal(fitOf('go1.26.99'), 'newer-patch');
  t.equal(fitOf('go1.11.13'), 'other-minor');
  t.equal(fitOf('go1.28.0'), 'other-minor');
  t.end();
});
