import type { Addr } from '../../snapshots/address.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import type { Memory, Range, Segment } from '../../snapshots/memory.js';
import { recordingMemory, type RecordingSource } from '../../snapshots/recording.js';
import { Runs } from '../../snapshots/runs.js';
import { readFixed, readPointed } from '../../analyze/working-set.js';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import type { DebugInfo } from '../../analyze/runtime/layouts.js';
import { runtimeRanges } from '../../analyze/runtime/memory-ranges.js';
import { pclntabRange } from '../../analyze/runtime/find-module-data.js';
import { StackPlan } from '../../analyze/runtime/stack-plan.js';

/** Ranges this close, in bytes, are read as one run: a run costs as much as some hundred bytes. */
export const MAX_GAP = 512;
/** Less for queues: between them is heap that the snapshot has no use for. */
const MAX_QUEUE_GAP = 256;

/** What will be read in the stop, as decided while the program runs. */
export interface Plan {
  readonly program: GoProgram;
  /** Globals, allgs, gs, Ms, Ps: read first, since they show which stacks must be read again. */
  readonly records: Runs;
  readonly stacks: Runs;
  /** What goroutines wait in: sudogs and the headers of channels. */
  readonly queues: Runs;
  readonly stackPlan: StackPlan;
}

/** The first look at a process, which the plan is made from. */
export interface Survey {
  readonly program: GoProgram;
  /** The function tables, which never change: read already. */
  readonly tables: readonly Segment[];
  /** Notes what is read of the program's memory, now and later. */
  readonly recording: RecordingSource;
}

/**
 * Finds the Go runtime in a running process. `debugInfo` is asked for struct layouts if its release is not known. Throws
 * GospyError if there is none, or if it is not understood.
 */
export function survey(image: ProcessImage, debugInfo: DebugInfo): Survey {
  const { memory, recording } = recordingMemory(image.memory);
  const program = openProgram({ ...image, memory }, debugInfo);
  readFixed(program);
  const tables = program.code.modules.map(({ module }) => {
    const { lo, hi } = pclntabRange(module);
    return { addr: lo, bytes: image.memory.bytes(lo, hi - lo) };
  });
  return { program, tables, recording };
}

/** Looks at every goroutine of the running program. `live` is its memory, with nothing cached from before. */
export function makePlan({ program, recording }: Survey, live: Memory): Plan {
  const now = program.over({ memory: live });
  const goroutines = now.goroutineReader.addresses(now.globals.allgs);
  const stackPlan = new StackPlan(now, goroutines);
  readPointed(program, 'labels', stackPlan.labels);
  readPointed(program, 'ancestors', stackPlan.ancestors);
  const { mappings } = program.image;
  const known = runtimeRanges(now, goroutines);
  for (const ranges of [recording.recorded(), stackPlan.syncWords]) {
    known.addAll(clipToMappings(ranges, mappings, ({ writable }) => writable));
  }
  const records = new Runs(known, MAX_GAP);
  const stacks = new Runs(stackPlan.ranges, MAX_GAP);
  const queues = new Runs(stackPlan.queues, MAX_QUEUE_GAP);
  stackPlan.bind(records, stacks);
  return { program, records, stacks, queues, stackPlan };
}

/** The parts of ranges that are in mappings of a kind. `mappings` must be ascending. */
export function* clipToMappings(
  ranges: Iterable<Range>,
  mappings: readonly Mapping[],
  isWanted: (mapping: Mapping) => boolean,
): Iterable<Range> {
  const wanted = mappings.filter(isWanted);
  for (const { lo, hi } of ranges) {
    let i = firstIndex(wanted.length, (at) => (wanted[at]?.end ?? Infinity) > lo);
    for (let mapping = wanted[i]; mapping !== undefined && mapping.start < hi; mapping = wanted[++i]) {
      yield { lo: Math.max(lo, mapping.start) as Addr, hi: Math.min(hi, mapping.end) as Addr };
    }
  }
}
