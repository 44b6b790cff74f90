import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addr } from '../../snapshots/address.js';
import type { Facts } from '../../snapshots/gsp/facts.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import type { Segment } from '../../snapshots/memory.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';

/** Returns pseudo-random whole numbers below a bound. Equal seeds give equal numbers. */
export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Returns facts in which every field has a value of its own, so that mixed-up fields show. */
export function someFacts(): Facts {
  const bytes = new Uint8Array(registerSetSize('amd64')).map((_, i) => (i * 7 + 255) % 256);
  return {
    arch: 'amd64',
    pid: 4711,
    threads: [
      { tid: 4711, namespaceTid: 1, name: 'täsk', state: 'S', registers: new Registers('amd64', bytes) },
      {
        ...{ tid: 4712, namespaceTid: 9, name: '', state: '?', registers: null },
        native: { name: 'read', file: '/lib/libc.so.6', offset: 17 },
      },
    ],
    mappings: [
      {
        ...{ start: addr(0x400000), end: addr(0x600000), readable: true, writable: false, executable: true },
        ...{ fileOffset: 4096, path: '/usr/bin/prög' },
      },
      {
        ...{ start: addr(0x7fff_ffff_0000), end: addr(0x7fff_ffff_f000), readable: true, writable: true },
        ...{ executable: false, fileOffset: 0, path: '[stack]' },
      },
    ],
    executable: { path: '/usr/bin/prög', deleted: true, buildId: 'abcdef', goBuildId: null, sizeBytes: 2 ** 33 + 1 },
    host: { hostname: 'box', kernel: '6.1.0', bootId: null, cpus: 2, namespacePids: [4711, 1] },
    capture: {
      ...{
        mode: 'stop',
        capturedAt: '2026-01-02T03:04:05.678Z',
        monotonicNs: 2n ** 62n + 1n,
        pauseNs: 812_345,
        lateThreads: 2,
        longestLateNs: 34_567,
      },
      ...{ partial: true, warnings: [{ code: 'thread-not-stopped', message: 'one' }], torn: [addr(0xc000000000)] },
      writer: '0.1.0',
    },
    structs: new Map([['runtime.g', { sizeBytes: 440, fields: { stack: 0, goid: 152 } }]]),
    signal: { number: 11, code: -6, addr: 0xc000000008, tid: 4712 },
  };
}

/** Returns a segment of random bytes below `alphabet` (1 to 256): the smaller, the better they compress. */
export function someSegment(next: Random, at: number, length: number, alphabet = 256): Segment {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = next(alphabet);
  return { addr: addr(at), bytes };
}

/** Creates a folder that is removed when the test ends. */
export function temporaryFolder(t: { teardown(end: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'gospy-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a snapshot of a few kilobytes: two groups, a hole, and segments that touch. Returns its segments. */
export async function writeSmallSnapshot(path: string): Promise<Segment[]> {
  const next = random(1);
  const globals = [someSegment(next, 0x500000, 300, 4), someSegment(next, 0x500000 + 300, 20)];
  const stacks = [someSegment(next, 0xc000002000, 400, 3), someSegment(next, 0xc000001000, 50)];
  await writeSnapshot(path, { image: someFacts(), memory: [globals, stacks] });
  return [...globals, ...stacks];
}
