import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { temporaryFolder } from '../../support/gsp.js';

/** Functions as nm lists them: `address size type name`; several names may have one address. */
function functionsOf(path: string): Map<number, { sizeBytes: number; names: Set<string> }> {
  const found = new Map<number, { sizeBytes: number; names: Set<string> }>();
  const out = execFileSync('nm', ['--print-size', '--defined-only', path], { encoding: 'utf8' });
  for (const line of out.split('\n')) {
    const [, value = '', size = '', name = ''] = /^([0-9a-f]{16}) ([0-9a-f]{16}) [tTwW] (.+)$/.exec(line) ?? [];
    if (name === '') continue;
    const known = found.get(parseInt(value, 16)) ?? { sizeBytes: 0, names: new Set<string>() };
    known.names.add(name);
    found.set(parseInt(value, 16), { ...known, sizeBytes: Math.max(known.sizeBytes, parseInt(size, 16)) });
  }
  return found;
}

const SOURCE = `
int first(int x) { return x + 1; }
int second(int x) { return x * first(x); }
int alias(int x) __attribute__((alias("second")));
__asm__(".globl outer\\n.type outer,@function\\nouter: nop\\nnop\\n"
        ".globl inner\\n.type inner,@function\\ninner: nop\\nnop\\n.size inner,2\\nnop\\n.size outer,5\\n"
        ".globl unsized\\n.type unsized,@function\\nunsized: nop\\n");
int main(void) { return second(alias(2)); }
`;

t.test('functions by address: as nm lists them, at the first and the last byte of each', (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'a.c'), SOURCE);
  execFileSync('gcc', ['-O0', '-o', join(folder, 'a'), join(folder, 'a.c')]);
  const file = ElfFile.open(join(folder, 'a'));
  t.teardown(() => file.close());
  const index = file.functions();
  const expected = functionsOf(join(folder, 'a'));
  let checked = 0;
  for (const [value, { sizeBytes, names }] of expected) {
    if (sizeBytes === 0) continue;
    const [first, last] = [index?.at(value), index?.at(value + sizeBytes - 1)];
    t.ok(first !== null && first?.value === value && names.has(first.name), `${[...names].join()}: ${first?.name}`);
    t.ok(last !== null && last?.value === value && names.has(last.name));
    checked++;
  }
  t.ok(checked > 5, `${checked} functions`);
  const at = (name: string): number => [...expected].find(([, { names }]) => names.has(name))?.[0] ?? 0;
  t.equal(index?.at(at('outer') + 1)?.name, 'outer');
  t.equal(index?.at(at('outer') + 3)?.name, 'inner', 'the innermost of functions that lie in each other');
  t.equal(index?.at(at('outer') + 4)?.name, 'outer', 'behind the inner one');
  t.equal(index?.at(at('unsized')), null, 'what has no size holds no address');
  t.equal(index?.at(0), null);
  t.end();
});
