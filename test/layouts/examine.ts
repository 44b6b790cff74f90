import { readFileSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { compareGoVersions, parseGoVersion, type GoVersion } from '../../analyze/binary/go-version.js';
import type { GoRelease } from '../../analyze/runtime/releases.js';
import { goRoot } from '../support/go-build.js';
import { RELEASES } from '../support/releases.js';
import { BuiltProgram } from './built-program.js';
import {
  changedFunctions,
  checkConstants,
  checkGlobals,
  checkInlining,
  specialFunctionsOf,
  waitReasonsOf,
} from './checks.js';
import { deriveFacts, FACT_STRUCTS, type Facts } from './facts.js';
import { differences, entryOf, extendEntries, formatTable, type LayoutTable } from './layout-table.js';
import { buildProbe, GoSource } from './toolchain.js';

export interface Options {
  readonly version: GoVersion;
  /** The file to compare with, layouts.json or a copy. */
  readonly layoutsPath: string;
  /** The record to compare with: the one that gospy would use. */
  readonly record: GoRelease;
  /** Adds the release to the file. */
  readonly write: boolean;
  readonly print: (line: string) => void;
}

export interface Examined {
  readonly facts: Facts;
  /** Facts that the record has otherwise, or that could not be derived. */
  readonly moved: readonly (keyof Facts)[];
  /** Assumptions that do not hold. */
  readonly problems: readonly string[];
  /** Structs whose layout moved. */
  readonly movedStructs: readonly string[];
}

/** Holds a Go release against the tables, prints what moved, and adds its layouts where that is asked for. */
export async function examine(options: Options): Promise<Examined> {
  const { version, layoutsPath, record, print } = options;
  const table = JSON.parse(readFileSync(layoutsPath, 'utf8')) as LayoutTable;
  const structs = [...Object.keys(table).map((name) => `runtime.${name}`), ...FACT_STRUCTS];
  const base = baseOf(version);
  const [amd64, arm64, older] = await openProbes(version.text, base, structs);
  try {
    const source = new GoSource(await goRoot(version.text));
    print(`Go ${version.text}, built for amd64 and arm64, beside Go ${base} and the record since Go 1.${record.since}`);
    const movedStructs = reportStructs(table, version, amd64, print);
    reportArm64(table, amd64, arm64, print);
    const facts = deriveFacts(amd64, source, record);
    const moved = reportFacts(record, facts, print);
    const changed = changedFunctions(new GoSource(await goRoot(base)), source);
    if (changed.length > 0) print(`source that gospy mirrors has changed: ${changed.join(', ')}`);
    reportNames('wait reasons', waitReasonsOf(older), waitReasonsOf(amd64), print);
    reportNames('special functions', ...pairOf(specialFunctionsOf, older, amd64), print);
    const used = { ...record, ...withoutNulls(facts) };
    const problems = [
      ...checkConstants(source, amd64),
      ...checkSpecialFunctions(older, amd64),
      ...[amd64, arm64].flatMap((program) => [...checkGlobals(program), ...checkInlining(program, used)]),
      ...(waitReasonsOf(amd64).length === 0 ? ['no wait reason can be read'] : []),
    ];
    for (const problem of problems) print(`does not hold: ${problem}`);
    if (problems.length === 0) print('all other assumptions hold');
    if (options.write) writeTable(options, table, amd64);
    return { facts, moved, problems, movedStructs };
  } finally {
    for (const program of [amd64, arm64, older]) program.close();
  }
}

/** The newest release that is tested, of those that come before `version`. */
function baseOf(version: GoVersion): string {
  const older = Object.values(RELEASES).filter((text) => {
    const parsed = parseGoVersion(`go${text}`);
    return parsed !== null && compareGoVersions(parsed, version) < 0;
  });
  return older.at(-1) ?? RELEASES['1.12'];
}

async function openProbes(
  version: string,
  base: string,
  structs: readonly string[],
): Promise<[BuiltProgram, BuiltProgram, BuiltProgram]> {
  const open = async (release: string, arch: 'amd64' | 'arm64'): Promise<BuiltProgram> =>
    new BuiltProgram(await buildProbe(release, arch), structs);
  return [await open(version, 'amd64'), await open(version, 'arm64'), await open(base, 'amd64')];
}

function reportStructs(
  table: LayoutTable,
  version: GoVersion,
  program: BuiltProgram,
  print: Options['print'],
): string[] {
  const moved: string[] = [];
  for (const [name, entries] of Object.entries(table)) {
    const layout = program.struct(`runtime.${name}`);
    const entry = entryOf(entries, version);
    if (layout === null) print(`runtime.${name}: not in the debug information; the linker may have removed its users`);
    const changes = layout === null || entry === undefined ? [] : differences(entry, layout);
    if (layout !== null && changes.length === 0) continue;
    moved.push(name);
    if (layout !== null) print(`runtime.${name}: ${changes.length === 0 ? 'new' : changes.join(', ')}`);
  }
  if (moved.length === 0) print(`all ${Object.keys(table).length} structs are as in layouts.json`);
  return moved;
}

/** The table holds for both CPUs: a field that has moved on one of them needs more than an entry. */
function reportArm64(table: LayoutTable, amd64: BuiltProgram, arm64: BuiltProgram, print: Options['print']): void {
  for (const name of Object.keys(table)) {
    const [here, there] = [amd64.struct(`runtime.${name}`), arm64.struct(`runtime.${name}`)];
    if (here === null || there === null || isDeepStrictEqual(here, there)) continue;
    const entry = { from: '', to: '', size: here.sizeBytes, fields: here.fields };
    print(`runtime.${name}, from amd64 to arm64: ${differences(entry, there).join(', ')}`);
  }
}

function reportFacts(record: GoRelease, facts: Facts, print: Options['print']): (keyof Facts)[] {
  const moved = (Object.keys(facts) as (keyof Facts)[]).filter((name) => !isDeepStrictEqual(facts[name], record[name]));
  for (const name of moved) {
    const [before, now] = [record[name], facts[name]].map((value) => JSON.stringify(value));
    const what =
      facts[name] === null
        ? 'cannot be derived: look at the source that releases.ts names'
        : `${before ?? ''} -> ${now ?? ''}`;
    print(`releases.ts, ${name}: ${what}`);
  }
  if (moved.length === 0) print(`all ${Object.keys(facts).length} facts of the record hold`);
  return moved;
}

function withoutNulls(facts: Facts): Partial<GoRelease> {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null));
}

function pairOf(
  of: (program: BuiltProgram) => ReadonlyMap<string, string>,
  a: BuiltProgram,
  b: BuiltProgram,
): [string[], string[]] {
  return [[...of(a).keys()], [...of(b).keys()]];
}

function reportNames(what: string, before: readonly string[], now: readonly string[], print: Options['print']): void {
  const gone = before.filter((name) => !now.includes(name));
  const added = now.filter((name) => !before.includes(name));
  if (gone.length > 0) print(`${what} that are gone: ${gone.join(', ')}`);
  if (added.length > 0) print(`${what} that are new: ${added.join(', ')}`);
}

/** A kind of function that unwinding treats in a special way must not vanish. */
function checkSpecialFunctions(before: BuiltProgram, now: BuiltProgram): string[] {
  const kinds = new Set(specialFunctionsOf(now).values());
  return [...new Set(specialFunctionsOf(before).values())]
    .filter((kind) => !kinds.has(kind))
    .map((kind) => `there is no function of the kind ${kind} (special-functions.ts)`);
}

function writeTable({ version, layoutsPath, print }: Options, table: LayoutTable, program: BuiltProgram): void {
  const extended = Object.entries(table).map(([name, entries]) => {
    const layout = program.struct(`runtime.${name}`);
    if (layout === null) throw new Error(`the debug information has no runtime.${name}: its layout is not known`);
    return [name, extendEntries(entries, version, layout)] as const;
  });
  const text = formatTable(Object.fromEntries(extended));
  const changed = text !== formatTable(table);
  if (changed) writeFileSync(layoutsPath, text);
  print(changed ? `layouts.json now covers Go ${version.text}` : `layouts.json covers Go ${version.text} already`);
}
