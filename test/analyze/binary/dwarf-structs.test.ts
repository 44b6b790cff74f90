import { readFileSync } from 'node:fs';
import t from 'tap';
import { dwarfStructs } from '../../../analyze/binary/dwarf-structs.js';
import table from '../../../analyze/runtime/layouts.json' with { type: 'json' };
import { GospyError } from '../../../snapshots/errors.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { buildGo, requireGo } from '../../support/go.js';
import { random } from '../../support/gsp.js';
import { PARK_CELLS, type Cell } from '../../support/releases.js';
import { readDebugInfo } from '../debuginfo.js';

const STRUCTS = Object.keys(table);
const NAMES = new Set(STRUCTS.map((name) => `runtime.${name}`));
/** Number of bytes that are changed in each section of a broken file, and number of broken files. */
const DAMAGED_BYTES = 40;
const DAMAGES = 60;

/** Returns what gospy finds, by names within package runtime, in the form of {@link readDebugInfo}. */
function found(file: ElfFile): Record<string, unknown> {
  return Object.fromEntries(
    [...dwarfStructs(file, NAMES)].map(([name, { sizeBytes, fields }]) => [
      name.slice('runtime.'.length),
      { size: sizeBytes, fields },
    ]),
  );
}

const linked = (cell: Cell): boolean => cell.link === 'plain' || cell.link === 'cgo';

if (requireGo(t)) {
  for (const cell of PARK_CELLS.filter(linked)) {
    t.test(`dwarf: Go ${cell.release} ${cell.link}, the same structs as Go's own DWARF reader finds`, async (t) => {
      const path = await buildGo(cell);
      const { structs } = await readDebugInfo(path, STRUCTS);
      const file = ElfFile.open(path);
      t.teardown(() => file.close());
      t.same(found(file), structs);
    });
  }

  t.test('dwarf: a stripped program has no structs', async (t) => {
    const file = ElfFile.open(await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
    t.teardown(() => file.close());
    t.equal(dwarfStructs(file, NAMES).size, 0);
  });

  t.test('dwarf: broken debug information yields fewer structs, but no error', async (t) => {
    const path = await buildGo({ fixture: 'park', release: '1.15', link: 'plain' });
    const whole = readFileSync(path);
    const { sections } = ElfFile.from(path, whole);
    const debug = sections.filter(({ name }) => /^\.z?debug_(info|abbrev)$/.test(name));
    t.equal(debug.length, 2);
    const next = random(5);
    for (let i = 0; i < DAMAGES; i++) {
      const bytes = Uint8Array.from(whole);
      for (const { fileOffset, sizeBytes } of debug) {
        for (let n = 0; n < DAMAGED_BYTES; n++) bytes[fileOffset + next(sizeBytes)] = next(256);
      }
      try {
        t.ok(dwarfStructs(ElfFile.from(path, bytes), NAMES).size <= NAMES.size);
      } catch (error) {
        if (!(error instanceof GospyError)) throw error;
      }
    }
  });
}
