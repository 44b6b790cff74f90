import t from 'tap';
import { FunctionTable, type Func } from '../../analyze/binary/function-table.js';
import type { ModuleData, Slice } from '../../analyze/binary/module-data.js';
import { releaseOf } from '../../analyze/runtime/releases.js';
import { addr, NIL } from '../../snapshots/address.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';

const ENTRY = 0x401000;
const PCTAB = 0x500000;
const NONE: Slice = { data: NIL, length: 0 };

/** The functions of a module that has a pctab and nothing else. */
function tableOf(pctab: readonly number[], quantum: number): FunctionTable {
  const bytes = Uint8Array.from(pctab);
  const module: ModuleData = {
    addr: NIL,
    pclntab: { addr: NIL, altered: false, format: releaseOf({ minor: 26 }).pclntab, quantum, nfunc: 1 },
    layout: undefined as never,
    ...{ ftab: NONE, pclntable: NONE, funcnametab: NONE, cutab: NONE, filetab: NONE, textsectmap: NONE },
    pctab: { data: addr(PCTAB), length: bytes.length },
    ...{ minpc: addr(ENTRY), maxpc: addr(ENTRY + 4096), text: addr(ENTRY), etext: addr(ENTRY + 4096) },
    types: { lo: NIL, hi: NIL },
    ...{ gofunc: null, data: [], next: NIL },
  };
  return new FunctionTable(new Memory(new SegmentSource([{ addr: addr(PCTAB), bytes }])), module);
}

function func(pcsp: number): Func {
  return {
    ...{ index: 0, entry: addr(ENTRY), end: addr(ENTRY + 4096), name: 'main.f', funcID: 0, flag: 0 },
    tables: { addr: NIL, pcsp, pcfile: 0, pcln: 0, npcdata: 0, nfuncdata: 0, cuOffset: 0 },
  };
}

/** Values at the given distances from the entry, in bytes. */
function values(pctab: readonly number[], quantum: number, ...distances: number[]): (number | null)[] {
  const table = tableOf(pctab, quantum);
  return distances.map((distance) => table.value(func(1), 'pcsp', ENTRY + distance));
}

/** Encodes as cmd/internal/obj/pcln.go does: the change of the value as a zigzag varint, then its length in quanta of code. */
function encode(runs: readonly [value: number, length: number][], quantum: number): number[] {
  const out = [0];
  let before = -1;
  for (const [value, length] of runs) {
    const change = value - before;
    out.push(...varint(change < 0 ? -2 * change - 1 : 2 * change), ...varint(length / quantum));
    before = value;
  }
  return [...out, 0];
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

t.test('pcvalue: a value holds up to the next change, for a quantum of 1 and of 4', (t) => {
  const runs: [number, number][] = [
    [0, 8],
    [4096, 1200],
    [-1, 4],
    [70_000, 16],
    [8, 4],
  ];
  for (const quantum of [1, 4]) {
    const pctab = encode(runs, quantum);
    t.same(values(pctab, quantum, 0, 7, 8, 1207, 1208, 1211, 1212, 1227, 1228, 1231, 1232), [
      ...[0, 0, 4096, 4096, -1, -1, 70_000, 70_000, 8, 8],
      null,
    ]);
  }
  t.end();
});

t.test('pcvalue: the first change may be 0, a later 0 ends the table', (t) => {
  t.same(values([0, 0, 5, 10, 5, 0], 1, 0, 4, 5, 9, 10), [-1, -1, 4, 4, null]);
  t.same(values([0, 2, 5, 0, 5, 10, 5], 1, 4, 5, 12), [0, null, null]);
  t.end();
});

t.test('pcvalue: a table that is missing or cut off has no value', (t) => {
  const table = tableOf([0, 2, 5, 0], 1);
  t.equal(table.value(func(0), 'pcsp', ENTRY), null, 'offset 0 means no table');
  t.equal(table.value(func(99), 'pcsp', ENTRY), null, 'outside of the table');
  t.same(values([0, 2, 5, 4, 5], 1, 9, 10), [2, null], 'without its end');
  t.same(values(new Array<number>(5000).fill(0), 1, 0, 100), [null, null], 'zeros only');
  t.end();
});
