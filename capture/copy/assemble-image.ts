import type { Addr } from '../../snapshots/address.js';
import type { CaptureFacts, ImageWarning, ProcessImage, Thread } from '../../snapshots/image.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import {
  clip,
  LayeredSource,
  Memory,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../../snapshots/memory.js';
import { recordingMemory } from '../../snapshots/recording.js';
import type { MemoryGroup } from '../../snapshots/gsp/chunks.js';
import { RangeList, Runs } from '../../snapshots/runs.js';
import { readWorkingSet } from '../../analyze/working-set.js';
import { isOnThread } from '../../analyze/runtime/goroutine.js';
import { programsOver, structsOf, type GoProgram, type Programs } from '../../analyze/program.js';
import { readGoroutine, usedStacks } from '../../analyze/runtime/memory-ranges.js';
import type { Copies } from './copies.js';
import type { CopyContents } from './copy.js';
import { constantRuns, type Survey } from './plan.js';

/** What a capture gives: the image, and its memory in the groups in which it is written to a file. */
export interface Captured {
  readonly image: ProcessImage;
  readonly programs: Programs;
  /** By program, how many goroutines have not ended. */
  readonly goroutines: readonly number[];
  readonly groups: readonly MemoryGroup[];
}

/** What the analysis warns of where parts of the runtime's lists could not be copied. */
const MISSING: ReadonlySet<string> = new Set([
  ...['machines-damaged', 'processors-damaged', 'goroutines-missing', 'goroutine-unreadable'],
]);

const GONE: ImageWarning = {
  code: 'process-gone',
  message:
    'the process ended, or became another program, right after it was copied, before all of its code and constants ' +
    'were read: stacks may end early or lack inlined calls, and names, lines and what goroutines wait for may be missing',
};

/**
 * Makes an image of the copies, after the process was let go. Stacks are cut to the part in use. The read-only memory that the
 * analysis needs (code, inlining tables, strings) is what the survey read to find the program, and what the analyses read
 * now, from the running process. If it is gone by then, which `isGone` tells, what they lack makes the snapshot partial.
 */
export function assembleImage(
  base: ProcessImage,
  { programs: surveyed, tables, recording, held }: Survey,
  copies: Copies,
  threads: readonly Thread[],
  facts: CaptureFacts,
  isGone: () => boolean,
): Captured {
  const { contents } = copies;
  const known = contents.flatMap(({ records, stacks, queues }) => [...records, ...stacks, ...queues]);
  const evicted = makeDisjoint(contents, [...known, ...tables]);
  const whole = new SegmentSource([...known, ...evicted, ...tables]);
  const stored = contents.map((content) => content.stored);
  const copied = new DisjointSource([...stored, whole]);
  const constants = constantRuns(base.mappings);
  const readOnly = recordingMemory(new Memory(new ReadOnlySource(held, constants)), base);
  const memory = new Memory(
    new LayeredSource([copied, readOnly.memory.source]),
    new Memory(new LayeredSource([copied, readOnly.memory.unrecorded.source])),
  );
  const warnings = [...facts.warnings];
  const image = { ...base, threads, capture: { ...facts, warnings }, memory, structs: structsOf(surveyed) };
  const programs = programsOver(image, surveyed);
  const inUse = new RangeList();
  const goroutines: number[] = [];
  for (const [i, program] of programs.entries()) {
    const copied = contents[i]?.goroutinesOf(program);
    if (copied === undefined) continue;
    readWorkingSet(program, copied);
    goroutines[i] = copied.count;
    inUse.addAll(usedStacks(program, threads, program.goroutinesAt(copied.others)));
  }
  const isPartial = programs.some(
    (program) =>
      program.warnings.some(({ code }) => MISSING.has(code)) || (facts.mode !== 'live' && lacksStack(program)),
  );
  const read = new Runs([...recording.recorded(), ...readOnly.recording.recorded()], 0);
  const constant = [...constants.partsOf(read)].flatMap((range) => [...held.segments(range)]);
  const isCutShort = held.hasFailed && isGone();
  // The programs' image has them too.
  if (isCutShort) warnings.push(GONE);
  const capture = isPartial || isCutShort ? { ...image.capture, partial: true } : image.capture;
  const stacks = contents.flatMap((content) => content.stacks).sort((a, b) => a.addr - b.addr);
  const used = [...new Runs(inUse, 0)].flatMap((range) => cut(stacks, range));
  const segments = [
    contents.flatMap(({ records }) => records),
    [...used, ...evicted],
    contents.flatMap(({ queues }) => queues),
    constant,
    tables,
  ];
  const kept = new Memory(new DisjointSource([new SegmentSource(segments.flat()), ...stored]));
  const groups = [...segments, ...stored.flatMap((stacks) => [...stacks.groups()])];
  return { image: { ...image, capture, memory: kept }, programs, goroutines, groups };
}

/** True if a goroutine was running on a thread that did not stop in time: where it is is not known. */
function lacksStack(program: GoProgram): boolean {
  return program.machines.some((m) => {
    const g = m.curg === 0 || program.threadOf(m)?.registers !== null ? null : readGoroutine(program, m.curg);
    return g !== null && isOnThread(g);
  });
}

/** Takes out of the stored stacks what is also in segments, or in those of another program. Returns what is left of it. */
function makeDisjoint(contents: readonly CopyContents[], segments: readonly Segment[]): Segment[] {
  const ranges = new RangeList();
  for (const { addr, bytes } of segments) ranges.add(addr, addr + bytes.length);
  return contents.flatMap(({ stored }) => {
    const evicted = stored.evict(new Runs(ranges, 0));
    if (contents.length > 1) ranges.addAll(stored.ranges(0, Infinity));
    return evicted;
  });
}

/** Sources of which no two have the same byte. */
class DisjointSource extends LayeredSource {
  readonly #parts: readonly MemorySource[];

  constructor(parts: readonly MemorySource[]) {
    super(parts);
    this.#parts = parts;
  }

  override window(addr: number): Window | null {
    for (const part of this.#parts) {
      const window = part.window(addr);
      if (window !== null) return window;
    }
    return null;
  }
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
  readonly #process: MemorySource;
  readonly #constants: Runs;

  constructor(process: MemorySource, constants: Runs) {
    this.#process = process;
    this.#constants = constants;
  }

  window(addr: number): Window | null {
    const i = this.#constants.indexOf(addr);
    const window = i < 0 ? null : this.#process.window(addr);
    if (window === null) return null;
    const { lo, hi } = this.#constants.at(i);
    return clip(window, Math.max(lo, window.lo), Math.min(hi, window.hi));
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#constants.parts(lo, hi);
  }
}
