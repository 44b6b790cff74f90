import type { Addr } from '../snapshots/address.js';
import type { ProcessImage } from '../snapshots/image.js';
import { MemoryFault, type Memory, type Range, type Segment } from '../snapshots/memory.js';
import { recordingMemory } from '../snapshots/recording.js';
import { RangeList } from '../snapshots/runs.js';
import { exerciseRuntime, exerciseStacks } from './working-set.js';
import { openProgram, type GoProgram } from './program.js';
import { runtimeRanges, usedStacks } from './runtime/memory-ranges.js';
import { pclntabRange } from './runtime/find-module-data.js';

/** What is left of an image when all that no analysis needs is dropped. */
export interface Extracted {
  readonly program: GoProgram;
  /** The image without its memory. */
  readonly image: Omit<ProcessImage, 'memory'>;
  /** The memory in groups of what is read together, each read when its turn comes. */
  readonly groups: Iterable<readonly Segment[]>;
}

/** Memory that is held at a time. */
const GROUP_BYTES = 2 ** 25;

/** Analyzes a program once more and keeps what that reads, all records and every stack as far as it is in use. */
export function extract({ image, layouts }: GoProgram): Extracted {
  const { memory, recording } = recordingMemory(image.memory);
  const program = openProgram({ ...image, memory, structs: layouts.debugInfo });
  exerciseRuntime(program);
  exerciseStacks(program);
  const { addresses } = program.goroutineReader.presentAddresses(program.globals.allgs);
  const parts = [
    recordsOf(program, addresses),
    new RangeList(usedStacks(program, image.threads)),
    recording.recorded(),
    program.code.modules.map(({ module }) => pclntabRange(module)),
  ];
  return { program, image: { ...image, structs: layouts.debugInfo }, groups: groupsOf(image.memory, parts) };
}

/** None where a part of them is lost: what is left of them was recorded. */
function recordsOf(program: GoProgram, goroutines: Float64Array): Iterable<Range> {
  try {
    return runtimeRanges(program, goroutines);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return [];
  }
}

function* groupsOf(memory: Memory, parts: readonly Iterable<Range>[]): Iterable<readonly Segment[]> {
  for (const ranges of parts) {
    let group: Segment[] = [];
    let bytes = 0;
    for (const { lo, hi } of ranges) {
      for (const segment of segmentsIn(memory, lo, hi)) {
        group.push(segment);
        bytes += segment.bytes.length;
        if (bytes < GROUP_BYTES) continue;
        yield group;
        [group, bytes] = [[], 0];
      }
    }
    if (group.length > 0) yield group;
  }
}

function* segmentsIn(memory: Memory, lo: Addr, hi: Addr): Iterable<Segment> {
  for (const known of memory.ranges(lo, hi)) {
    try {
      yield { addr: known.lo, bytes: memory.bytes(known.lo, known.hi - known.lo) };
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
    }
  }
}
