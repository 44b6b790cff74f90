import { isAddr, plus, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Runs } from '../../snapshots/runs.js';
import type { Segment } from '../../snapshots/memory.js';
import type { GoRuntime } from '../../analyze/runtime/go-runtime.js';
import { MAX_MACHINES } from '../../analyze/runtime/machine.js';
import type { LiveProcess } from '../process/live-process.js';
import { RunSource } from './run-source.js';

/** Walks along the list before what the last one found is taken. */
const WALKS = 8;
/** More threads do not start between a plan and the stop: a longer list is damaged. */
const MAX_NEW_MACHINES = 4096;

/** Ms of runtime.allm as they were when they were read, with the variable itself. */
export interface MachineList {
  readonly source: RunSource;
  readonly addresses: readonly Addr[];
  /** The ids of their threads, in the pid namespace of the process; 0 for one that is not known yet. */
  readonly procids: readonly number[];
  /** True if the list led to m0, the first M and the last of the list. */
  readonly isWhole: boolean;
}

type RecordSource = Pick<LiveProcess, 'bytesNow'>;

/**
 * Copies the list of Ms of a program that runs on: each M is read whole with its link to the next, so that a thread that
 * starts or ends meanwhile does not break the chain. New Ms are put at its head; those that end are taken out, and keep
 * their links until a collection frees them. A walk that lands in freed memory is made again.
 */
export function copyMachines(program: GoRuntime, source: RecordSource): MachineList {
  for (let walks = 1; ; walks++) {
    const head = source.bytesNow(program.globals.allm, 8);
    const first = head === null ? 0 : pointerIn(head, 0);
    const { copies, isWhole } = walk(program, source, first as Addr, MAX_MACHINES, () => null);
    if (isWhole || walks === WALKS) {
      const all = head === null ? copies : [{ addr: program.globals.allm, bytes: head }, ...copies];
      const procid = program.layouts.of('m').offset('procid');
      return {
        source: asSource(all),
        addresses: copies.map(({ addr }) => addr),
        procids: copies.map(({ bytes }) => wordAt(new DataView(bytes.buffer, bytes.byteOffset), procid)),
        isWhole,
      };
    }
  }
}

/** Copies the Ms of a stopped program that `linkOf` does not know: it returns the link of an M, or null. */
export function copyNewMachines(
  program: GoRuntime,
  source: RecordSource,
  first: Addr,
  linkOf: (m: Addr) => Addr | null,
): RunSource {
  return asSource(walk(program, source, first, MAX_NEW_MACHINES, linkOf).copies);
}

function walk(
  { globals, layouts }: GoRuntime,
  source: RecordSource,
  first: Addr,
  most: number,
  linkOf: (m: Addr) => Addr | null,
): { copies: Segment[]; isWhole: boolean } {
  const { sizeBytes } = layouts.of('m');
  const copies: Segment[] = [];
  const seen = new Set<Addr>();
  for (let m = first; m !== 0 && !seen.has(m) && seen.size < MAX_MACHINES && copies.length < most;) {
    seen.add(m);
    const known = linkOf(m);
    const bytes = known === null ? source.bytesNow(m, sizeBytes) : null;
    if (bytes !== null) copies.push({ addr: m, bytes });
    const next = known ?? (bytes === null ? 0 : pointerIn(bytes, globals.alllink));
    if (m === globals.m0) return { copies, isWhole: next === 0 };
    m = next as Addr;
  }
  return { copies, isWhole: false };
}

/** 0 if the word cannot be an address. */
function pointerIn(bytes: Uint8Array, offset: number): number {
  const word = wordAt(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset);
  return isAddr(word) ? word : 0;
}

function asSource(copies: readonly Segment[]): RunSource {
  const runs = new Runs(
    copies.map(({ addr, bytes }) => ({ lo: addr, hi: plus(addr, bytes.length) })),
    0,
  );
  const all = new Uint8Array(runs.sizeBytes);
  for (const { addr, bytes } of copies) all.set(bytes, runs.offsetOf(addr, bytes.length));
  return new RunSource(runs, all);
}
