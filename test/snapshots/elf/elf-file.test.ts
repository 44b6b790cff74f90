import { execFileSync } from 'node:child_process';
import { existsSync, openSync, readFileSync, realpathSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { SectionType } from '../../../snapshots/elf/headers.js';
import { temporaryFolder } from '../../support/gsp.js';
import {
  hasGo,
  hasReadelf,
  readelfBuildId,
  readelfSections,
  readelfSegments,
  readelfSymbols,
} from '../../support/readelf.js';

const noReadelf = hasReadelf ? false : 'there is no readelf to compare with';
const noGo = hasGo && hasReadelf ? false : 'there is no Go toolchain or no readelf';

t.test('elf: system programs, the same headers, symbols and ids as readelf prints', { skip: noReadelf }, (t) => {
  const paths = ['/usr/bin/env', '/usr/bin/tar', '/usr/bin/python3', '/usr/bin/bash', '/lib64/ld-linux-x86-64.so.2'];
  for (const path of paths.filter((p) => existsSync(p)).map((p) => realpathSync(p))) agreesWithReadelf(t, path);
  t.end();
});

t.test('elf: Go programs, the same headers, symbols and ids as readelf prints', { skip: noGo }, (t) => {
  const folder = temporaryFolder(t);
  const source = join(folder, 'main.go');
  writeFileSync(source, 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n');
  const builds: Record<string, { args: string[]; env?: Record<string, string> }> = {
    plain: { args: [] },
    stripped: { args: ['-ldflags=-s -w'] },
    pie: { args: ['-buildmode=pie'] },
    'stripped-pie': { args: ['-buildmode=pie', '-ldflags=-s -w'] },
    arm64: { args: [], env: { GOARCH: 'arm64', CGO_ENABLED: '0' } },
  };
  for (const [name, { args, env }] of Object.entries(builds)) {
    const path = join(folder, name);
    execFileSync('go', ['build', ...args, '-o', path, source], { env: { ...process.env, GO111MODULE: 'off', ...env } });
    agreesWithReadelf(t, path);
    const file = ElfFile.open(path);
    t.equal(file.header.arch, name === 'arm64' ? 'arm64' : 'amd64', name);
    t.equal(file.header.type, name.includes('pie') ? 'shared' : 'executable', name);
    const goBuildId = execFileSync('go', ['tool', 'buildid', path], { encoding: 'utf8' }).trim();
    t.equal(file.goBuildId, goBuildId, `Go build id of ${name}`);
    file.close();
  }

  const file = ElfFile.open(join(folder, 'plain'));
  t.teardown(() => file.close());
  const nm = execFileSync('go', ['tool', 'nm', join(folder, 'plain')], { encoding: 'utf8' });
  const main = /^ *(\w+) T main\.main$/m.exec(nm)?.[1] ?? '';
  t.equal(file.symbol('main.main')?.value, parseInt(main, 16));
  t.equal(file.symbol('main.nobody'), undefined);
  t.end();
});

t.test('elf: compressed debug sections are uncompressed', { skip: noGo }, (t) => {
  const folder = temporaryFolder(t);
  const source = join(folder, 'main.go');
  writeFileSync(source, 'package main\n\nfunc main() { println(1) }\n');
  for (const [name, flag] of [
    ['compressed', 'true'],
    ['plain', 'false'],
  ]) {
    const args = ['build', `-ldflags=-compressdwarf=${flag}`, '-o', join(folder, name ?? ''), source];
    execFileSync('go', args, { env: { ...process.env, GO111MODULE: 'off' } });
  }
  const [compressed, plain] = ['compressed', 'plain'].map((name) => ElfFile.open(join(folder, name)));
  for (const name of ['.debug_line', '.debug_abbrev', '.debug_frame']) {
    const sections = [compressed, plain].map((file) => {
      const section = file?.section(name);
      return section === undefined ? null : file?.contents(section);
    });
    t.ok((sections[0]?.length ?? 0) > 100, name);
    t.equal(Buffer.compare(sections[0] ?? Buffer.alloc(0), sections[1] ?? Buffer.alloc(1)), 0, name);
  }
  t.ok((compressed?.section('.debug_line')?.flags ?? 0) >= 0x800, 'the first is really compressed');
  compressed?.close();
  plain?.close();
  t.end();
});

t.test('elf: bytes at an address are those in the file, also across segments, but not past them', (t) => {
  const path = process.execPath;
  const file = ElfFile.open(path, openSync(path, 'r'));
  t.teardown(() => file.close());
  const [first] = file.loaded;
  const last = file.loaded.at(-1);
  if (first === undefined || last === undefined) throw new Error('node has no segments');
  const whole = readFileSync(path);
  const expected = whole.subarray(first.fileOffset + 5, first.fileOffset + 5 + 200_000);
  t.equal(Buffer.compare(file.bytesAt(first.lo + 5, 200_000) ?? Buffer.alloc(0), expected), 0);
  t.equal(file.bytesAt(first.lo - 1, 2), null);
  t.equal(file.bytesAt(last.hi - 1, 2), null, '.bss is not in the file');
  t.equal(file.bytesAt(last.hi - 1, 1)?.length, 1);
  t.end();
});

t.test('elf: a truncated file knows how many bytes are missing', (t) => {
  const path = join(temporaryFolder(t), 'cut');
  writeFileSync(path, readFileSync('/usr/bin/env'));
  const whole = ElfFile.open(path);
  t.equal(whole.missingBytes, 0);
  const last = whole.loaded.at(-1);
  whole.close();
  if (last === undefined) throw new Error('env has no segments');
  const end = last.fileOffset + (last.hi - last.lo);
  truncateSync(path, end - 7);
  const cut = ElfFile.open(path);
  t.teardown(() => cut.close());
  t.equal(cut.missingBytes, 7);
  t.equal(cut.bytesAt(last.hi - 8, 1)?.length, 1);
  t.equal(cut.bytesAt(last.hi - 8, 2), null);
  t.strictSame(cut.sections, []);
  t.match(cut.problems, [/section headers/]);
  t.equal(statSync(path).size, cut.sizeBytes);
  t.end();
});

/** Compares headers, symbols and build id with those that readelf prints. */
function agreesWithReadelf(t: Test, path: string): void {
  const file = ElfFile.open(path);
  t.strictSame(file.problems, [], path);
  const shown = readelfSegments(path);
  t.ok(shown.length > 1, `readelf shows segments of ${path}`);
  t.strictSame(
    file.segments.map((s) => [
      ...[s.fileOffset, s.vaddr, s.fileSize, s.memSize],
      (s.readable ? 'R' : ' ') + (s.writable ? 'W' : ' ') + (s.executable ? 'E' : ' '),
    ]),
    shown.map(([, ...rest]) => rest),
    `segments of ${path}`,
  );
  t.strictSame(
    file.sections.slice(1).map(({ name, vaddr, fileOffset, sizeBytes }) => [name, vaddr, fileOffset, sizeBytes]),
    readelfSections(path).slice(1),
    `sections of ${path}`,
  );
  t.equal(file.buildId, readelfBuildId(path), `build id of ${path}`);
  const isFull = file.sections.some(({ type }) => type === SectionType.symbols);
  const symbols = [...file.symbols()].filter(({ type }) => type !== 'section');
  t.strictSame(
    symbols.map(({ name, value, sizeBytes }) => `${name} ${value} ${sizeBytes}`),
    readelfSymbols(path, isFull ? '.symtab' : '.dynsym'),
    `${symbols.length} symbols of ${path}`,
  );
  file.close();
}
