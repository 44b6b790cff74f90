import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { FunctionTable } from '../../analyze/binary/function-table.js';
import { openProgram } from '../../analyze/program.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';
import { buildGo, requireGo } from '../support/go.js';
import { random } from '../support/gsp.js';
import { TESTED_RELEASES } from '../support/releases.js';
import { readDebugInfo } from './debuginfo.js';
import { loadBias, restingImage } from './live-program.js';

const run = promisify(execFile);

/** How many code addresses to look up in each program. */
const LINES = 400;

for (const release of TESTED_RELEASES) {
  for (const link of ['plain', 'pie', 'cgo'] as const) {
    t.test(`functions: the table of Go ${release} ${link} agrees with its symbol table`, async (t) => {
      if (!requireGo(t)) return;
      const path = await buildGo({ fixture: 'park', release, link });
      const image = await restingImage(t, path);
      const debug = await readDebugInfo(path);
      const bias = loadBias(image.pid, debug.entry);
      const program = openProgram(image);
      const table = runtimeTable(program.code.modules);

      const symbols = new Map<number, string[]>();
      for (const { name, entry } of debug.functions) {
        symbols.set(entry + bias, [...(symbols.get(entry + bias) ?? []), name]);
      }
      const strangers: string[] = [];
      for (let i = 0; i < table.length; i++) {
        const { name, entry, end } = table.at(i);
        if (symbols.get(entry)?.some((symbol) => isSame(name, symbol)) !== true && !isMark(name))
          strangers.push(`${name} ${entry - bias}`);
        if (i + 1 < table.length && table.at(i + 1).entry !== end) t.fail(`${name} does not end where the next begins`);
        if (table.find(entry)?.index !== i || table.find(end - 1)?.index !== i)
          t.fail(`${name} is not found by its pcs`);
      }
      t.same(strangers, [], `all ${table.length} functions have the name of the symbol at their entry`);
      t.ok(table.length > 1000);
      t.equal(table.mayName(['main.nothing', 'runtime.mcall']), true);
      t.equal(table.mayName(['runtime.mcal', 'untime.mcall', 'main.nothing']), false, 'only whole names count');
      const absent = new FunctionTable(new Memory(new SegmentSource([])), table.module);
      t.equal(absent.mayName(['main.nothing']), true, 'a name may be in what is absent');
      const { minpc, maxpc } = table.module;
      t.equal(table.find(minpc - 1), null);
      t.equal(table.find(maxpc), null);
    });
  }

  t.test(`functions: files and lines of Go ${release} agree with addr2line`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo({ fixture: 'park', release, link: 'plain' });
    const program = openProgram(await restingImage(t, path));
    const table = runtimeTable(program.code.modules);
    const pcs = somePcs(table);
    const expected = await addr2line(path, pcs);
    const actual = pcs.map((pc) => {
      const func = table.find(pc);
      const [place] = func === null ? [] : program.index.symbolizer.lines(table, func, pc);
      return `${func?.name ?? '?'} ${place?.file ?? '?'}:${place?.line ?? 0}`;
    });
    t.same(actual, expected);
    t.ok(
      actual.filter((line) => !line.endsWith('?:0')).length > LINES / 2,
      'most are not in the padding between functions',
    );
  });
}

function runtimeTable(modules: readonly FunctionTable[]): FunctionTable {
  const [table, ...more] = modules;
  if (table === undefined || more.length > 0) throw new Error('the program does not have exactly one module');
  return table;
}

/**
 * Whether a name in the table is that of a symbol. Symbols bear an ABI suffix, have dots in place of middle dots, and have
 * full type arguments where the table of Go 1.18 to 1.20 has `[...]`.
 */
function isSame(name: string, symbol: string): boolean {
  const plain = symbol.replace(/\.abi(0|internal)$/, '').replaceAll('·', '.');
  return name.replaceAll('·', '.') === (name.includes('[...]') ? plain.replace(/\[.*\]/, '[...]') : plain);
}

/** True for marks that the linker puts between functions; some have no symbol. */
function isMark(name: string): boolean {
  return /^go[.:](buildid|textfips(start|end))$/.test(name);
}

function somePcs(table: FunctionTable): number[] {
  const next = random(7);
  return Array.from({ length: LINES }, () => {
    const { entry, end } = table.at(next(table.length));
    return entry + next(end - entry);
  });
}

/** `function file:line` for each address, from the go command's own tool; `?:0` where there is no line. */
async function addr2line(path: string, pcs: readonly number[]): Promise<string[]> {
  const looking = run('go', ['tool', 'addr2line', path], { env: { ...process.env, GOTOOLCHAIN: 'local' } });
  looking.child.stdin?.end(pcs.map((pc) => `0x${pc.toString(16)}\n`).join(''));
  const lines = (await looking).stdout.trimEnd().split('\n');
  return pcs.map((_, i) => `${lines[2 * i] ?? ''} ${(lines[2 * i + 1] ?? '').replace(/^:-1$/, '?:0')}`);
}
