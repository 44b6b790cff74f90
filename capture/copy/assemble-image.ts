import { plus, type Addr } from '../../snapshots/address.js';
import type { CaptureFacts, ProcessImage, Thread } from '../../snapshots/image.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import {
  LayeredSource,
  Memory,
  segmentsIn,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../../snapshots/memory.js';
import { recordingMemory } from '../../snapshots/recording.js';
import { Runs } from '../../snapshots/runs.js';
import { readWorkingSet } from '../../analyze/working-set.js';
import { isOnThread } from '../../analyze/runtime/goroutine.js';
import { reopenPrograms, structsOf, type GoProgram, type Programs } from '../../analyze/program.js';
import { readGoroutine, usedStacks } from '../../analyze/runtime/memory-ranges.js';
import type { Copies } from './copies.js';
import { clipToMappings, type Survey } from './plan.js';

/** What a capture gives: the image, and its memory in the groups in which it is written to a file. */
export interface Captured {
  readonly image: ProcessImage;
  readonly programs: Programs;
  readonly groups: readonly (readonly Segment[])[];
}

/** What the analysis warns of where parts of the runtime's lists could not be copied. */
const MISSING: ReadonlySet<string> = new Set([
  ...['machines-damaged', 'processors-damaged', 'goroutines-missing', 'goroutine-unreadable'],
]);

/**
 * Makes an image of the copies, after the process was let go. Stacks are cut to the part in use. The read-only memory that the
 * analysis needs (code, inlining tables, strings) is read from the running process: what the survey read to find the
 * program, and what the analyses read now.
 */
export function assembleImage(
  base: ProcessImage,
  { programs: surveyed, tables, recording }: Survey,
  copies: Copies,
  threads: readonly Thread[],
  facts: CaptureFacts,
): Captured {
  const { records, stacks, queues } = copies.segments;
  const whole = new SegmentSource([...records, ...stacks, ...queues, ...tables]);
  const readOnly = recordingMemory(new Memory(new ReadOnlySource(base)));
  const memory = new Memory(
    new LayeredSource([whole, readOnly.memory.source]),
    new Memory(new LayeredSource([whole, readOnly.memory.unrecorded.source])),
  );
  const image = { ...base, threads, capture: facts, memory, structs: structsOf(surveyed) };
  const programs = reopenPrograms(image, surveyed);
  programs.forEach(readWorkingSet);
  const isPartial = programs.some(
    (program) =>
      program.warnings.some(({ code }) => MISSING.has(code)) || (facts.mode !== 'live' && lacksStack(program)),
  );
  const capture = isPartial ? { ...facts, partial: true } : facts;
  const inUse = programs.flatMap((program) => [...usedStacks(program, threads)]);
  const used = [...new Runs(inUse, 0)].flatMap((range) => cut(stacks, range));
  const read = new Runs([...recording.recorded(), ...readOnly.recording.recorded()], 0);
  const constant = [...read].flatMap(({ lo, hi }) => [...segmentsIn(readOnly.memory.unrecorded, lo, hi)]);
  const groups = [records, used, queues, constant, tables];
  const kept = new Memory(new SegmentSource(groups.flat()));
  return { image: { ...image, capture, memory: kept }, programs, groups };
}

/** True if a goroutine was running on a thread that did not stop in time: where it is is not known. */
function lacksStack(program: GoProgram): boolean {
  return program.machines.some((m) => {
    const g = m.curg === 0 || program.threadOf(m)?.registers !== null ? null : readGoroutine(program, m.curg);
    return g !== null && isOnThread(g);
  });
}

/** The bytes of a range, from segments that are sorted and do not overlap. */
function cut(segments: readonly Segment[], { lo, hi }: Range): Segment[] {
  let i = firstIndex(segments.length, (index) => endOf(segments[index]) > lo);
  const out: Segment[] = [];
  for (let segment = segments[i]; segment !== undefined && segment.addr < hi; segment = segments[++i]) {
    const start = Math.max(lo, segment.addr);
    const bytes = segment.bytes.subarray(start - segment.addr, hi - segment.addr);
    if (bytes.length > 0) out.push({ addr: start as Addr, bytes });
  }
  return out;
}

function endOf(segment: Segment | undefined): number {
  return segment === undefined ? Infinity : segment.addr + segment.bytes.length;
}

/** The parts of a live process that it cannot write: what is read there later is what was there in the stop. */
class ReadOnlySource implements MemorySource {
  readonly #image: ProcessImage;
  readonly #ranges: readonly Range[];

  constructor(image: ProcessImage) {
    this.#image = image;
    const everything = image.mappings.map(({ start, end }) => ({ lo: start, hi: end }));
    this.#ranges = [
      ...clipToMappings(everything, image.mappings, (m) => m.readable && !m.writable && !m.path.startsWith('[')),
    ];
  }

  window(addr: number): Window | null {
    const range = this.#ranges.find(({ lo, hi }) => addr >= lo && addr < hi);
    const window = range === undefined ? null : this.#image.memory.source.window(addr);
    if (range === undefined || window === null) return null;
    const [lo, hi] = [Math.max(range.lo, window.lo), Math.min(range.hi, window.hi)];
    const { buffer, byteOffset } = window.view;
    return { lo, hi, view: new DataView(buffer, byteOffset + (lo - window.lo), hi - lo) };
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (const range of this.#ranges) {
      if (range.lo < hi && range.hi > lo)
        yield { lo: plus(range.lo, Math.max(0, lo - range.lo)), hi: Math.min(hi, range.hi) as Addr };
    }
  }
}
