import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseGoVersion, type GoVersion } from '../../analyze/binary/go-version.js';
import { releaseOf, versionOf } from '../../analyze/runtime/releases.js';
import { buildGo, goRoot } from '../support/go-build.js';
import { requireGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { RELEASES, type Release } from '../support/releases.js';
import { BuiltProgram } from './built-program.js';
import { examine, type Examined } from './examine.js';
import { deriveFacts, FACT_STRUCTS } from './facts.js';
import { entryOf, extendEntries, formatTable, type Entry, type LayoutTable } from './layout-table.js';
import { GoSource } from './toolchain.js';

const LAYOUTS = fileURLToPath(new URL('../../../analyze/runtime/layouts.json', import.meta.url));
const TOOL = fileURLToPath(new URL('layouts.js', import.meta.url));
const text = readFileSync(LAYOUTS, 'utf8');
const table = JSON.parse(text) as LayoutTable;

t.test('layouts: writing the table gives the same file', (t) => {
  t.equal(formatTable(table), text);
  t.end();
});

t.test('layouts: a release extends the entry before it, or gets its own', (t) => {
  const layout = { sizeBytes: 16, fields: { b: 8, a: 0 } };
  const entry = (from: string, to: string, size = 16): Entry => ({ from, to, size, fields: { a: 0, b: 8 } });
  const entries = [entry('1.12', '1.20.3', 8), entry('1.21.0', '1.26.8')];
  const extended = (version: string): Entry[] => extendEntries(entries, versionOf(version), layout);
  t.same(extended('1.26.9'), [entries[0], entry('1.21.0', '1.26.9')]);
  t.same(extended('1.26.2'), entries, 'covered already');
  t.same(extended('1.20.4'), [entries[0], entry('1.20.4', '1.20.4'), entries[1]], 'between two');
  t.same(Object.keys(extended('1.20.4')[1]?.fields ?? {}), ['a', 'b'], 'fields by name');
  t.throws(() => extended('1.20.2'), /another layout from 1\.12 to 1\.20\.3/);
  t.end();
});

t.test('layouts: wrong arguments print the usage', (t) => {
  for (const args of [[], ['nonsense'], ['1.27.3', '--wrong']]) {
    const { status, stderr } = spawnSync(process.execPath, [TOOL, ...args], { encoding: 'utf8' });
    t.equal(status, 2);
    t.match(stderr, /^usage: /);
  }
  t.end();
});

/** The table as it was before a minor release came out. */
function without(minor: number): LayoutTable {
  const cut = (entries: readonly Entry[]): Entry[] =>
    entries
      .filter(({ from }) => versionOf(from).minor < minor)
      .map((entry) => (versionOf(entry.to).minor < minor ? entry : { ...entry, to: `1.${minor - 1}.99` }));
  return Object.fromEntries(Object.entries(table).map(([struct, entries]) => [struct, cut(entries)]));
}

t.test('layouts: a release that was removed from the tables is added as it was', async (t) => {
  if (!requireGo(t)) return;
  const version = parse('1.27.0');
  const layoutsPath = join(temporaryFolder(t), 'layouts.json');
  const older = without(27);
  writeFileSync(layoutsPath, formatTable(older));
  const lines: string[] = [];
  const add = (): Promise<Examined> =>
    examine({ version, layoutsPath, record: releaseOf({ minor: 26 }), write: true, print: (line) => lines.push(line) });
  const examined = await add();

  const written = readFileSync(layoutsPath, 'utf8');
  const extended = JSON.parse(written) as LayoutTable;
  for (const [struct, entries] of Object.entries(table)) {
    const [real, found] = [entryOf(entries, version), entryOf(extended[struct] ?? [], version)];
    t.same([found?.size, found?.fields], [real?.size, real?.fields], struct);
    t.equal(found?.to, version.text);
    const kept = (older[struct] ?? []).map(({ from }) => from);
    t.same(
      extended[struct]?.slice(0, kept.length).map(({ from }) => from),
      kept,
    );
  }
  const moved = Object.entries(table).filter(([, entries]) => versionOf(entryOf(entries, version)?.from).minor === 27);
  t.same(
    examined.movedStructs,
    moved.map(([struct]) => struct),
  );

  const { since, ...facts } = releaseOf(version);
  t.equal(since, 27);
  t.same(examined.facts, facts, 'the facts are those of its record');
  t.same(examined.moved, ['shortens', 'types']);
  t.ok(lines.includes('releases.ts, shortens: "to the last bracket" -> "each pair of brackets"'));
  t.same(examined.problems, []);

  await add();
  t.equal(readFileSync(layoutsPath, 'utf8'), written, 'a second time changes nothing');
});

for (const [release, exact] of Object.entries(RELEASES)) {
  t.test(`releases: the record and the layouts of Go ${release} are what its toolchain has`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo({ fixture: 'park', release: release as Release, link: 'plain' });
    const program = new BuiltProgram(path, [
      ...Object.keys(table).map((struct) => `runtime.${struct}`),
      ...FACT_STRUCTS,
    ]);
    t.teardown(() => {
      program.close();
    });
    const source = new GoSource(await goRoot(exact));
    const record = releaseOf(parse(exact));
    const { since, ...facts } = record;
    t.ok(since <= parse(exact).minor);
    // Names have type arguments in full, and a function that shortens them, from Go 1.21 on.
    const shortens =
      source.functionText('runtime/traceback.go', 'funcNamePiecesForPrint') === '' ? null : facts.shortens;
    t.same(deriveFacts(program, source, record), { ...facts, shortens });
    for (const [struct, entries] of Object.entries(table)) {
      const entry = entryOf(entries, parse(exact));
      t.same(program.struct(`runtime.${struct}`), { sizeBytes: entry?.size, fields: entry?.fields }, struct);
    }
  });
}

function parse(text: string): GoVersion {
  const version = parseGoVersion(`go${text}`);
  if (version === null) throw new Error(`${text} is not a version`);
  return version;
}
