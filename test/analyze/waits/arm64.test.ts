import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { Arm64Decoder } from '../../../analyze/waits/arm64.js';
import { buildGo, requireGo } from '../../support/go.js';
import { ofAll, RELEASES, type Release } from '../../support/releases.js';

const run = promisify(execFile);

const MAX_OUTPUT = 2 ** 28;
/** The last operand of these is none that changes. */
const ONLY_READS = /^(CMP|CMN|TST|CCM|FCMP|FCCMP|PRFM|MSR|DC$)/;
/** These are not compared: objdump leaves out that they change R0, or what they add to their base. */
const NOT_TOLD = /^(SVC|V(LD|ST)\d)/;

/** An instruction as objdump has it. */
interface Listed {
  readonly at: number;
  readonly word: number;
  readonly name: string;
  /** Its operands, as far as commas part them that stand in no parentheses. */
  readonly operands: readonly string[];
}

/** What `go tool objdump` says of the code of a program, with the addresses of functions by name. */
async function listing(path: string): Promise<{ listed: Listed[]; functions: Map<string, number> }> {
  const { stdout } = await run('go', ['tool', 'objdump', path], { maxBuffer: MAX_OUTPUT });
  const listed: Listed[] = [];
  const functions = new Map<string, number>();
  let name: string | null = null;
  for (const line of stdout.split('\n')) {
    if (line.startsWith('TEXT ')) {
      name = line.slice(5, line.lastIndexOf('(SB)'));
      continue;
    }
    const [, at, word, text] = /^ .*\t0x([0-9a-f]+)\t+([0-9a-f]{8})\t+(.*?)\s*$/.exec(line) ?? [];
    if (at === undefined || word === undefined || text === undefined) continue;
    const address = parseInt(at, 16);
    if (name !== null) functions.set(name, address);
    name = null;
    const [verb = '', ...rest] = text.split(' ');
    const operands = rest.join(' ').match(/(?:\([^)]*\)|\[[^\]]*\]|[^,([])+/g) ?? [];
    listed.push({ at: address, word: parseInt(word, 16), name: verb, operands: operands.map((one) => one.trim()) });
  }
  return { listed, functions };
}

/** The numbers of general registers in an operand that is one, or a pair of them. */
function registersIn(operand: string): number[] {
  if (!/^(?:(?:R\d+|RSP|ZR)|\((?:R\d+|ZR), (?:R\d+|ZR)\))$/.test(operand)) return [];
  return [...operand.matchAll(/R(\d+)|RSP/g)].map(([, number]) => (number === undefined ? 31 : Number(number)));
}

/** `16(R1)`: the number and the register. */
function memoryOf(operands: readonly string[]): { base: number; displacement: number } | null {
  for (const operand of operands) {
    const [, number = '', base] = /^(-?\d*)\((R\d+|RSP)\)$/.exec(operand) ?? [];
    if (base !== undefined) return { base: base === 'RSP' ? 31 : Number(base.slice(1)), displacement: Number(number) };
  }
  return null;
}

/** The general registers that an instruction changes by objdump's word. */
function changedBy({ name, operands }: Listed): number[] {
  const last = operands.at(-1) ?? '';
  const memory = memoryOf(operands);
  const updated = /\.[WP]$/.test(name) && memory !== null ? [memory.base] : [];
  if (ONLY_READS.test(name)) return updated;
  const changed = name === 'LDPSW' ? operands.slice(-2) : [last];
  return [...changed.flatMap(registersIn), ...updated];
}

for (const release of ofAll(Object.keys(RELEASES) as Release[], ['1.27'])) {
  t.test(`arm64: instructions do what objdump says (Go ${release})`, async (t) => {
    if (!requireGo(t)) return;
    const { listed, functions } = await listing(
      await buildGo({ fixture: 'locks', release, link: 'plain', arch: 'arm64' }),
    );
    t.ok(listed.length > 100_000);
    const start = listed[0]?.at ?? 0;
    const last = listed.at(-1)?.at ?? 0;
    const code = new DataView(new ArrayBuffer(last - start + 4));
    for (const { at, word } of listed) code.setUint32(at - start, word, true);
    const instruction = new Arm64Decoder(start);
    const wrong: string[] = [];
    const counts = { targets: 0, changed: 0, memory: 0 };
    let end = 0;
    for (const one of listed) {
      const { at, name, operands } = one;
      const text = `${name} ${operands.join(', ')} at ${at.toString(16)}`;
      // What is a part of the one before.
      if (at - start < end) continue;
      if (name === '?' || NOT_TOLD.test(name)) continue;
      if (!instruction.decode(code, at - start)) {
        wrong.push(`${text} is not known`);
        continue;
      }
      ({ end } = instruction);
      if (end > at - start + 4) continue;
      const isBranch = instruction.flow !== 'next' && instruction.flow !== 'trap';
      const [, to] = /^(-?\d+)\(PC\)$/.exec(operands.at(-1) ?? '') ?? [];
      const [, symbol, offset = '0'] = /^(.*?)(?:\+(\d+))?\(SB\)$/.exec(operands.at(-1) ?? '') ?? [];
      const named = symbol === undefined ? undefined : functions.get(symbol);
      const target = to !== undefined ? at + 4 * Number(to) : named === undefined ? null : named + Number(offset);
      if (isBranch && target !== null) {
        counts.targets++;
        if (instruction.target + start !== target) wrong.push(`${text} goes to ${instruction.target + start}`);
      } else if (!isBranch) {
        counts.changed++;
        const expected = changedBy(one).reduce((bits, register) => bits | (1 << register), 0);
        if (instruction.changed !== expected) wrong.push(`${text} changes ${(instruction.changed >>> 0).toString(2)}`);
        const memory = memoryOf(operands);
        if (memory !== null) {
          counts.memory++;
          const { base, displacement, writeBack } = instruction;
          const by = name.endsWith('.P') ? writeBack : displacement;
          if (base !== memory.base || by !== memory.displacement)
            wrong.push(`${text} is at ${displacement} of ${base}`);
        }
      }
    }
    t.strictSame(wrong.slice(0, 10), []);
    t.ok(counts.targets > 10_000 && counts.changed > 50_000 && counts.memory > 10_000, JSON.stringify(counts));
  });
}

t.test('arm64: no bytes are too few or too odd', (t) => {
  const instruction = new Arm64Decoder(0x1000);
  const code = new DataView(new ArrayBuffer(64));
  let seed = 1;
  for (let round = 0; round < 20_000; round++) {
    for (let at = 0; at < code.byteLength; at += 4) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      code.setUint32(at, seed, true);
    }
    for (let at = 0; at < code.byteLength; at += 4) {
      if (instruction.decode(code, at) && (instruction.end <= at || instruction.end > code.byteLength))
        t.fail(`${code.getUint32(at, true).toString(16)} ends at ${instruction.end - at}`);
    }
  }
  for (let length = 0; length < 4; length++) t.notOk(instruction.decode(new DataView(code.buffer, 0, length), 0));
  t.end();
});
