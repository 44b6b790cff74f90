import type { ProcessImage } from '../snapshots/image.js';
import { onFault, segmentsIn, type Memory, type Range, type Segment } from '../snapshots/memory.js';
import { recordingMemory } from '../snapshots/recording.js';
import { RangeList, Runs } from '../snapshots/runs.js';
import { openPrograms, structsOf, type GoProgram, type Programs } from './program.js';
import { pclntabRange } from './runtime/find-module-data.js';
import { runtimeRanges, usedStacks } from './runtime/memory-ranges.js';
import { readWorkingSet } from './working-set.js';

/** The part of an image that the analyses need. */
export interface Extracted {
  /** The programs in the whole image. */
  readonly programs: Programs;
  /** The image without its memory. */
  readonly image: Omit<ProcessImage, 'memory'>;
  /** The memory to keep, in groups of what is read together. Each group is read when the iteration reaches it. */
  readonly groups: Iterable<readonly Segment[]>;
}

/** A group ends once it has so many bytes: one group is held at a time. */
const GROUP_BYTES = 2 ** 25;

/** Finds what the analyses read of programs, the runtimes' records, and every stack as far as it is in use. */
export function extract(whole: Programs): Extracted {
  const [{ image }] = whole;
  const structs = structsOf(whole);
  const records = whole.map((program) => {
    const { addresses } = program.goroutineReader.presentAddresses(program.globals.allgs);
    return recordsOf(program, addresses);
  });
  const stacks = whole.map((program) => new RangeList(usedStacks(program, image.threads)));
  const kept = new RangeList();
  for (const ranges of [...records, ...stacks]) kept.addAll(ranges);
  const { memory, recording } = recordingMemory(image.memory, { ...image, kept: new Runs(kept, 0) });
  const programs = openPrograms({ ...image, memory, structs });
  for (const program of programs) readWorkingSet(program);
  const parts = [
    ...records,
    ...stacks,
    new RangeList(recording.recorded()),
    ...programs.map(({ code }) => code.modules.map(({ module }) => pclntabRange(module))),
  ];
  return { programs, image: { ...image, structs }, groups: groupsOf(image.memory, parts) };
}

/** The runtime's records; nothing where a part of them is absent, since then what is left was recorded. */
function recordsOf(program: GoProgram, goroutines: Float64Array): Iterable<Range> {
  return onFault(
    () => runtimeRanges(program, goroutines),
    () => [],
  );
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
