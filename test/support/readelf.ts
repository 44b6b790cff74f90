import { execFileSync } from 'node:child_process';

/** True where binutils' readelf is there to compare with. */
export const hasReadelf = works('readelf', ['--version']);
/** True where a Go toolchain is there to build with. */
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

/** `[type, offset, vaddr, file size, memory size, flags]` of each program header that readelf shows. */
export function readelfSegments(path: string): [string, number, number, number, number, string][] {
  return readelf('-l', path).flatMap((line) => {
    const m = /^ {2}(\S+)\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+) ([R ][W ][E ]) /.exec(line);
    if (m === null) return [];
    const [, type = '', offset, vaddr, fileSize, memSize, flags = ''] = m;
    return [[type, Number(offset), Number(vaddr), Number(fileSize), Number(memSize), flags]];
  });
}

/** `[name, vaddr, offset, size]` of each section that readelf shows. */
export function readelfSections(path: string): [string, number, number, number][] {
  return readelf('-S', path).flatMap((line) => {
    const m = /^ {2}\[ *\d+\] (\S*)\s+\S+\s+([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) /.exec(line);
    if (m === null) return [];
    const [, name = '', vaddr, offset, size] = m;
    return [[name, parseInt(vaddr ?? '', 16), parseInt(offset ?? '', 16), parseInt(size ?? '', 16)]];
  });
}

/** `name value size` of each symbol of the first table of symbols that is asked for. */
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
