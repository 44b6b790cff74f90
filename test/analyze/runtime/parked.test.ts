import t from 'tap';
import { parseGoVersion } from '../../../analyze/binary/go-version.js';
import { GoroutineReader, type G } from '../../../analyze/runtime/goroutine.js';
import { Layouts, NO_DEBUG_INFO } from '../../../analyze/runtime/layouts.js';
import { countsRuns, hasRun, isSamePlace, isUncounted, ParkedWords } from '../../../analyze/runtime/parked.js';
import { addr } from '../../../snapshots/address.js';
import { Memory, SegmentSource } from '../../../snapshots/memory.js';

/** _Grunnable and so on in runtime2.go. */
const STATUS = { runnable: 1, running: 2, syscall: 3, waiting: 4, dead: 6, deadextra: 11 } as const;
const GSCAN = 0x1000;
/** Two waits that a goroutine enters by parking, and the two that trackingSeq does not count. */
const REASON = { receive: 14, send: 15, coroutine: 40, preempted: 33 } as const;
const REASONS = {
  at: (reason: number): string | null =>
    ({ 14: 'chan receive', 15: 'chan send', 33: 'preempted', 40: 'coroutine' })[reason] ?? null,
};
/** Where the g lies in the made-up memory, and in the buffer of records. */
const AT = addr(0xc000100000);
const OFFSET = 64;

/** Fields of a g, by the names that the runtime gives them. */
interface Fields {
  readonly goid: number;
  readonly m: number;
  readonly atomicstatus: number;
  readonly waitreason: number;
  readonly waitsince: number;
  readonly sp: number;
  readonly pc: number;
  readonly lo: number;
  readonly hi: number;
  readonly syscallsp: number;
  readonly syscallpc: number;
  readonly trackingSeq: number;
  readonly labels: number;
}

const PARKED: Fields = {
  goid: 18,
  m: 0,
  atomicstatus: STATUS.waiting,
  waitreason: REASON.receive,
  waitsince: 0,
  sp: 0xc000051e00,
  pc: 0x47a3b1,
  lo: 0xc000050000,
  hi: 0xc000052000,
  syscallsp: 0,
  syscallpc: 0,
  trackingSeq: 7,
  labels: 0,
};

/** Changes that show that a goroutine is somewhere else. */
const MOVES: Readonly<Record<string, Partial<Fields>>> = {
  'another goroutine in the same g': { goid: 19 },
  'another state': { atomicstatus: STATUS.runnable },
  'another wait': { waitreason: REASON.send },
  'another stack pointer': { sp: PARKED.sp - 16 },
  'another place in the code': { pc: PARKED.pc + 4 },
  'its stack was moved by 2 kB': { lo: PARKED.lo + 2048, hi: PARKED.hi + 2048, sp: PARKED.sp + 2048 },
  'its stack was moved by 4 GB': { lo: PARKED.lo + 2 ** 32, hi: PARKED.hi + 2 ** 32, sp: PARKED.sp + 2 ** 32 },
};

function layoutsOf(release: string): Layouts {
  const version = parseGoVersion(`go${release}`);
  if (version === null) throw new Error(`${release} is not a release`);
  return new Layouts(version, NO_DEBUG_INFO);
}

/** The bytes of a g with these fields. */
function recordOf(layouts: Layouts, fields: Fields): Uint8Array {
  const [g, gobuf] = [layouts.of('g'), layouts.of('gobuf')];
  const bytes = new Uint8Array(g.sizeBytes);
  const view = new DataView(bytes.buffer);
  const word = (offset: number, value: number): void => view.setBigUint64(offset, BigInt(value), true);
  word(g.offset('stack'), fields.lo);
  word(g.offset('stack') + 8, fields.hi);
  word(g.offset('sched') + gobuf.offset('sp'), fields.sp);
  word(g.offset('sched') + gobuf.offset('pc'), fields.pc);
  for (const name of ['goid', 'm', 'waitsince', 'syscallsp', 'syscallpc', 'labels'] as const) {
    word(g.offset(name), fields[name]);
  }
  view.setUint32(g.offset('atomicstatus'), fields.atomicstatus, true);
  view.setUint8(g.offset('waitreason'), fields.waitreason);
  const seq = g.optional('trackingSeq');
  if (seq !== null) view.setUint8(seq, fields.trackingSeq);
  return bytes;
}

function viewOf(layouts: Layouts, fields: Fields): G {
  const memory = new Memory(new SegmentSource([{ addr: AT, bytes: recordOf(layouts, fields) }]));
  return new GoroutineReader(memory, layouts).read(AT);
}

function recordsOf(layouts: Layouts, fields: Fields): DataView {
  const record = recordOf(layouts, fields);
  const bytes = new Uint8Array(OFFSET + record.length);
  bytes.set(record, OFFSET);
  return new DataView(bytes.buffer);
}

/** Whether the stop takes the goroutine as moved. */
function movedInStop(layouts: Layouts, before: Fields, after: Fields): boolean {
  const words = new ParkedWords(layouts, REASONS, 1);
  words.bind(Float64Array.of(OFFSET));
  words.remember(recordsOf(layouts, before));
  const moved = new Uint8Array(1);
  const records = recordsOf(layouts, after);
  t.equal(words.mark(records, moved, 0, records.byteLength), 1, 'every goroutine is looked at');
  return moved[0] === 1;
}

/** What the rule for views says. */
function fate(layouts: Layouts, before: Fields, after: Fields): 'moved' | 'ran' | 'parked' {
  const [was, is] = [viewOf(layouts, before), viewOf(layouts, after)];
  if (!isSamePlace(was, is)) return 'moved';
  return hasRun(was, is) ? 'ran' : 'parked';
}

for (const release of ['1.12', '1.16', '1.17', '1.23', '1.26', '1.27']) {
  const layouts = layoutsOf(release);
  const counts = Number(release.slice(2)) >= 17;

  t.test(`parked: a goroutine that is as it was has stayed (go${release})`, (t) => {
    t.equal(countsRuns(layouts), counts);
    t.equal(fate(layouts, PARKED, PARKED), 'parked');
    t.equal(movedInStop(layouts, PARKED, PARKED), false);
    t.end();
  });

  t.test(`parked: every field that is compared shows a move (go${release})`, (t) => {
    for (const [name, change] of Object.entries(MOVES)) {
      const after = { ...PARKED, ...change };
      t.equal(fate(layouts, PARKED, after), 'moved', name);
      t.equal(movedInStop(layouts, PARKED, after), true, `${name}, in the stop`);
    }
    // The stop sees these only together with others: the upper end of a stack, and places in system calls.
    for (const change of [{ hi: PARKED.hi + 4096 }, { syscallsp: PARKED.sp }, { syscallpc: PARKED.pc }]) {
      t.equal(fate(layouts, PARKED, { ...PARKED, ...change }), 'moved', JSON.stringify(change));
    }
    t.end();
  });

  t.test(`parked: one that ran and came back has run (go${release})`, (t) => {
    const ran = { ...PARKED, trackingSeq: PARKED.trackingSeq + 1 };
    t.equal(fate(layouts, PARKED, ran), counts ? 'ran' : 'parked');
    t.equal(movedInStop(layouts, PARKED, ran), counts);
    const wrapped = { ...PARKED, trackingSeq: 255 };
    t.equal(movedInStop(layouts, wrapped, { ...PARKED, trackingSeq: 0 }), counts);
    t.end();
  });

  t.test(`parked: a stamp of waitsince that is gone or another shows a run, a new one nothing (go${release})`, (t) => {
    const [one, other] = [
      { ...PARKED, waitsince: 5e12 },
      { ...PARKED, waitsince: 6e12 },
    ];
    t.equal(fate(layouts, one, one), 'parked');
    t.equal(fate(layouts, PARKED, one), 'parked');
    t.equal(fate(layouts, one, PARKED), 'ran');
    t.equal(fate(layouts, one, other), 'ran');
    t.equal(movedInStop(layouts, PARKED, one), false, 'a collection begins in between: nothing is read again');
    t.end();
  });

  t.test(`parked: what is not compared changes nothing (go${release})`, (t) => {
    const labelled = { ...PARKED, labels: 0xc000012340 };
    t.equal(fate(layouts, PARKED, labelled), 'parked');
    t.equal(movedInStop(layouts, PARKED, labelled), false);
    const scanned = { ...PARKED, atomicstatus: STATUS.waiting + GSCAN };
    t.equal(fate(layouts, PARKED, scanned), 'parked', 'while the collector scans its stack');
    t.equal(movedInStop(layouts, PARKED, scanned), false);
    t.end();
  });

  t.test(`parked: waits that are not counted are never kept in the stop (go${release})`, (t) => {
    for (const waitreason of [REASON.coroutine, REASON.preempted]) {
      const waits = { ...PARKED, waitreason };
      t.equal(isUncounted(viewOf(layouts, waits), REASONS), true);
      t.equal(movedInStop(layouts, waits, waits), true);
      const runnable = viewOf(layouts, { ...waits, atomicstatus: STATUS.runnable });
      t.equal(isUncounted(runnable, REASONS), false, 'the reason is left over from an earlier wait');
    }
    t.equal(isUncounted(viewOf(layouts, PARKED), REASONS), false);
    t.end();
  });

  t.test(`parked: only what waits is kept in the stop, and the dead are left alone (go${release})`, (t) => {
    for (const name of ['runnable', 'running', 'syscall'] as const) {
      const state = { ...PARKED, atomicstatus: STATUS[name] };
      t.equal(movedInStop(layouts, state, state), true, name);
      t.equal(fate(layouts, state, state), name === 'running' ? 'moved' : 'parked', name);
    }
    const left = { ...PARKED, atomicstatus: STATUS.runnable };
    t.equal(fate(layouts, left, { ...left, waitreason: REASON.send }), 'parked', 'a left-over reason says nothing');
    for (const name of ['dead', 'deadextra'] as const) {
      const dead = { ...PARKED, atomicstatus: STATUS[name] };
      t.equal(movedInStop(layouts, dead, dead), false, name);
      t.equal(movedInStop(layouts, PARKED, dead), true, `${name} since`);
      const words = new ParkedWords(layouts, REASONS, 1);
      t.equal(words.isDead(recordsOf(layouts, dead), OFFSET), true, name);
      t.equal(words.isDead(recordsOf(layouts, PARKED), OFFSET), false);
    }
    t.end();
  });

  t.test(`parked: one that a thread has is not parked, whatever its status says (go${release})`, (t) => {
    const onThread = { ...PARKED, m: 0xc000080008 };
    t.equal(fate(layouts, onThread, onThread), 'moved', 'it stops the world, or marks');
    t.equal(fate(layouts, PARKED, onThread), 'moved', 'it ran, and is parking again');
    t.equal(fate(layouts, onThread, PARKED), 'moved');
    const words = new ParkedWords(layouts, REASONS, 1);
    words.bind(Float64Array.of(OFFSET));
    for (const [fields, expected] of [
      [PARKED, 0],
      [onThread, 1],
      // The first object of an arena that begins at a multiple of 4 GB.
      [{ ...PARKED, m: 0xc000000000 }, 1],
      [{ ...onThread, atomicstatus: STATUS.dead }, 0],
    ] as const) {
      const moved = new Uint8Array(1);
      words.markOnThreads(recordsOf(layouts, fields), moved);
      t.equal(moved[0], expected);
    }
    t.end();
  });

  t.test(`parked: the known holes are as they are written down (go${release})`, (t) => {
    // 256 runs in between bring trackingSeq back. Copies are read twice before the stop for that.
    t.equal(fate(layouts, PARKED, { ...PARKED, trackingSeq: (PARKED.trackingSeq + 256) % 256 }), 'parked');
    // Since 1.26 no run is counted between two system calls: readers of views that need more compare the stack.
    const inCall = { ...PARKED, atomicstatus: STATUS.syscall, syscallsp: PARKED.sp, syscallpc: PARKED.pc };
    t.equal(fate(layouts, inCall, inCall), 'parked');
    t.end();
  });
}

t.test('parked: goroutines are looked at as far as their gs have been read', (t) => {
  const layouts = layoutsOf('1.26');
  const { sizeBytes } = layouts.of('g');
  const [before, after] = [recordOf(layouts, PARKED), recordOf(layouts, { ...PARKED, sp: PARKED.sp - 8 })];
  const both = (record: Uint8Array): DataView => {
    const bytes = new Uint8Array(2 * sizeBytes);
    bytes.set(record, 0);
    bytes.set(record, sizeBytes);
    return new DataView(bytes.buffer);
  };
  const words = new ParkedWords(layouts, REASONS, 3);
  // The one in the middle is not among the records.
  words.bind(Float64Array.of(0, -1, sizeBytes));
  words.remember(both(before));
  const moved = new Uint8Array(3);
  t.equal(words.mark(both(after), moved, 0, 2 * sizeBytes - 1), 2);
  t.same([...moved], [1, 0, 0]);
  t.equal(words.mark(both(after), moved, 2, 2 * sizeBytes), 3);
  t.same([...moved], [1, 0, 1]);
  t.end();
});
