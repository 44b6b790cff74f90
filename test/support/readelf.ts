import { execFileSync } from 'node:child_process';

/** True if binutils' readelf is on PATH. */
export const hasReadelf = works('readelf', ['--version']);
/** True if a Go toolchain is on PATH. */
export const hasGo = works('go', ['version']);

function works(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function readelf(option: string, path: string): string[] {
  return execFileSync('readelf', [option, '-W', path], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  }).split('\n');
}

/** Returns `[type, offset, vaddr, file size, memory size, flags]` of each program header. */
export function readelfSegments(path: string): [string, number, number, number, number, string][] {
  return readelf('-l', path).flatMap((line) => {
    const m = /^ {2}(\S+)\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+) ([R ][W ][E ]) /.exec(line);
    if (m === null) return [];
    const [, type = '', offset, vaddr, fileSize, memSize, flags = ''] = m;
    return [[type, Number(offset), Number(vaddr), Number(fileSize), Number(memSize), flags]];
  });
}

/** Returns `[name, vaddr, offset, size]` of each section. */
export function readelfSections(path: string): [string, number, number, number][] {
  return readelf('-S', path).flatMap((line) => {
    const m = /^ {2}\[ *\d+\] (\S*)\s+\S+\s+([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) /.exec(line);
    if (m === null) return [];
    const [, name = '', vaddr, offset, size] = m;
    return [[name, parseInt(vaddr ?? '', 16), parseInt(offset ?? '', 16), parseInt(size ?? '', 16)]];
  });
}

/** Returns `name value size` of each symbol in the first of the given tables. */
export function readelfSymbols(path: string, table: '.symtab' | '.dynsym'): string[] {
  const out: string[] = [];
  let inside = false;
  for (const line of readelf('-s', path)) {
    if (line.startsWith('Symbol table')) inside = line.includes(`'${table}'`);
    const m = /^ *\d+: ([0-9a-f]{16}) +(\S+) (\S+) +\S+ +\S+ +(?:\[.*?\] +)?\S+ ?(.*)$/.exec(line);
    if (!inside || m === null) continue;
    const [, value = '', size, type, name = ''] = m;
    if (type !== 'SECTION') out.push(`${name.split('@')[0] ?? ''} ${parseInt(value, 16)} ${Number(size)}`);
  }
  return out;
}

/** NT_GNU_BUILD_ID as readelf shows it, or null. */
export function readelfBuildId(path: string): string | null {
  return /Build ID: ([0-9a-f]+)/.exec(readelf('-n', path).join('\n'))?.[1] ?? null;
}

/** Go's own build id as readelf shows it, or null. */
export function readelfGoBuildId(path: string): string | null {
  const bytes = /^ +Go .*\s+description data: ([0-9a-f ]+)/m.exec(readelf('-n', path).join('\n'))?.[1];
  return bytes === undefined ? null : Buffer.from(bytes.replaceAll(' ', ''), 'hex').toString('utf8');
}

/** DW_AT_go_runtime_type of the types that have names of their own, by these: where their descriptors are. */
export function readelfTypes(path: string): Map<string, Set<number>> {
  const out = new Map<string, Set<number>>();
  for (const entry of readelf('--debug-dump=info', path)
    .join('\n')
    .split(/^ <\d+><[0-9a-f]+>: /m)) {
    const name = /\(DW_TAG_(?:structure|typedef|base).*?DW_AT_name +: (?:\(\w+\) )?([\w./-]+)\n/s.exec(entry)?.[1];
    const value = Number(/value: 2904: (?:\(\w+\) )?(\w+)/.exec(entry)?.[1] ?? 0);
    if (name === undefined || value === 0 || name.startsWith('noalg.')) continue;
    out.set(name, (out.get(name) ?? new Set()).add(value));
  }
  return out;
}
