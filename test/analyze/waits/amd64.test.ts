import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import t from 'tap';
import { Amd64Decoder } from '../../../analyze/waits/amd64.js';
import { buildGo, requireGo } from '../../support/go.js';
import type { Cell } from '../../support/releases.js';

const run = promisify(execFile);

const CELL: Cell = { fixture: 'locks', release: '1.27', link: 'stripped' };
const MAX_OUTPUT = 2 ** 28;

/** The code of a program by readelf's word: its address, and its bytes. */
async function codeOf(path: string): Promise<{ start: number; code: DataView }> {
  const { stdout } = await run('readelf', ['-SW', path]);
  const [, address = '', offset = '', size = ''] = / \.text +PROGBITS +(\w+) (\w+) (\w+)/.exec(stdout) ?? [];
  const bytes = readFileSync(path).subarray(parseInt(offset, 16), parseInt(offset, 16) + parseInt(size, 16));
  return { start: parseInt(address, 16), code: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

t.test('amd64: instructions end and go where objdump says', async (t) => {
  if (!requireGo(t)) return;
  const path = await buildGo(CELL);
  const { start, code } = await codeOf(path);
  const { stdout } = await run('objdump', ['-d', '-w', '--no-show-raw-insn', '-j', '.text', path], {
    maxBuffer: MAX_OUTPUT,
  });
  const listed = [...stdout.matchAll(/^ +([0-9a-f]+):\t(.*)$/gm)].map(([, at = '', text = '']) => {
    return { at: parseInt(at, 16) - start, text };
  });
  t.ok(listed.length > 100_000);
  const instruction = new Amd64Decoder();
  const wrong = listed.flatMap(({ at, text }, i) => {
    const next = listed[i + 1]?.at ?? code.byteLength;
    // What is no code at all is listed byte by byte.
    if (text.includes('(bad)') || text.startsWith('.')) return [];
    if (!instruction.decode(code, at)) return [`${text} is not known`];
    if (instruction.end !== next) return [`${text} has ${next - at} bytes, not ${instruction.end - at}`];
    const target = /^(?:call|j[a-z]+) +([0-9a-f]{5,})/.exec(text.replace(/^(?:bnd|data16|rex\.\w+) /, ''))?.[1];
    if (target === undefined) return [];
    return instruction.target === parseInt(target, 16) - start ? [] : [`${text} goes to ${instruction.target}`];
  });
  t.strictSame(wrong.slice(0, 10), []);
});

t.test('amd64: bytes that are cut off are no instruction', (t) => {
  const instruction = new Amd64Decoder();
  // lock cmpxchg %edx,0x30(%rcx); call; mov with an immediate of 64 bits; a VEX prefix.
  const whole = ['f00fb15130', 'e8b7e0f9ff', '48b80102030405060708', 'c5f877', 'c4e27918442408'];
  for (const text of whole) {
    const bytes = Uint8Array.from(Buffer.from(text, 'hex'));
    t.ok(instruction.decode(new DataView(bytes.buffer), 0), text);
    t.equal(instruction.end, bytes.length);
    for (let length = 0; length < bytes.length; length++)
      t.notOk(instruction.decode(new DataView(bytes.buffer, 0, length), 0), `${text}, ${length} bytes`);
  }
  t.end();
});
