import { plus, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory, onFault, type Range, type Segment } from '../../snapshots/memory.js';
import { recordingMemory, type RecordingSource } from '../../snapshots/recording.js';
import { Runs } from '../../snapshots/runs.js';
import { readFixed, readNamed, readOnStacks, readPointed } from '../../analyze/working-set.js';
import { openPrograms, type GoProgram, type Programs } from '../../analyze/program.js';
import type { DebugInfo } from '../../analyze/runtime/layouts.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { readGoroutine, runtimeRanges } from '../../analyze/runtime/memory-ranges.js';
import { pclntabRange } from '../../analyze/runtime/find-module-data.js';
import { StackPlan } from '../../analyze/runtime/stack-plan.js';
import type { ReadFirst } from '../../analyze/runtime/wait-plan.js';
import type { LiveProcess } from '../process/live-process.js';
import { Slab } from '../process/slab.js';
import { HeldSource } from './held-source.js';
import { RunSource } from './run-source.js';

/** Bytes of globals, and of what they point to, that are read because code on the stacks names them. */
const MOST_NAMED = 128 << 10;

/** Ranges this close, in bytes, are read as one run: a run costs as much as some hundred bytes. */
export const MAX_GAP = 512;
/** A run of stacks ends at so many bytes: it is read again for one goroutine that moved, and stacks lie next to each other. */
const FULL_STACK_RUN = 16 << 10;
/** Less for queues: between them is heap that the snapshot has no use for. */
export const MAX_QUEUE_GAP = 256;

/** New goroutines that are read one by one before all are planned anew: a share of all, and a number. */
const UNPLANNED_SHARE = 0.05;
const UNPLANNED = 256;

/** True if so many goroutines are new that it is better to plan again than to read them one by one. */
export function isOutgrown(fresh: number, planned: number): boolean {
  return fresh > UNPLANNED + UNPLANNED_SHARE * planned;
}

/** What will be read in the stop, as decided while the program runs. */
export interface Plan {
  readonly program: GoProgram;
  /** Globals, allgs, gs, Ms, Ps: read first, since they show which stacks must be read again. */
  readonly records: Runs;
  readonly stacks: Runs;
  /** What goroutines wait in: sudogs, the headers of channels, timers and pollDescs. */
  readonly queues: Runs;
  readonly stackPlan: StackPlan;
  /** Memory that the process cannot write: what is there is read after the stop. */
  readonly constants: Runs;
  /** What was read to find out what a snapshot needs. */
  readonly read: readonly Range[];
}

/** The first look at a process, which the plan is made from. */
export interface Survey {
  readonly programs: Programs;
  /** The function tables, which never change: read already. */
  readonly tables: readonly Segment[];
  /** Notes what is read of the program's memory, now and later. */
  readonly recording: RecordingSource;
  /** Holds what was read so far that the process cannot write. */
  readonly held: HeldSource;
}

/**
 * Finds the Go runtimes in a running process. `debugInfo` is asked for struct layouts if its release is not known. Throws
 * GospyError if there is none, or if it is not understood.
 */
export function survey(image: ProcessImage, debugInfo: DebugInfo): Survey {
  const held = new HeldSource(image.memory.source, constantRuns(image.mappings));
  const { memory, recording } = recordingMemory(new Memory(held), image);
  const programs = openPrograms({ ...image, memory }, debugInfo);
  programs.forEach(readFixed);
  const modules = programs.flatMap(({ code }) => code.modules);
  const tables = modules.map(({ module }) => {
    const { lo, hi } = pclntabRange(module);
    return { addr: lo, bytes: image.memory.bytes(lo, hi - lo) };
  });
  held.hold(tables, recording.recorded());
  return { programs, tables, recording, held };
}

/** What a process holds now, with nothing cached from before. */
export type Contents = Pick<ProcessImage, 'mappings' | 'memory'> & Pick<LiveProcess, 'reader'>;

/** Makes a plan for each program. Throws as {@link makePlan} does. */
export function makePlans({ programs, recording, tables, held }: Survey, live: Contents): Plan[] {
  const plans = programs.map((program) => makePlan(program, recording, live));
  held.hold(tables, [...recording.recorded(), ...plans.flatMap(({ read }) => read)]);
  return plans;
}

/**
 * Looks at every goroutine of a running program. Throws MemoryFault if its lists changed while they were read.
 */
export function makePlan(program: GoProgram, recording: RecordingSource, live: Contents): Plan {
  const now = program.over({ mappings: live.mappings, memory: live.memory });
  const goroutines = now.goroutineReader.addresses(now.globals.allgs);
  const stackPlan = new StackPlan(now, goroutines, readFirst(live));
  const pointed = recordingMemory(live.memory, live);
  const over = now.over({ memory: pointed.memory });
  readPointed(over, 'labels', stackPlan.labels);
  readPointed(over, 'ancestors', stackPlan.ancestors);
  const stacks = new Runs(stackPlan.ranges, MAX_GAP, FULL_STACK_RUN);
  const named = recordingMemory(live.memory, live);
  readNamed(now.over({ memory: named.memory }), stackPlan.examples);
  const shown = recordingMemory(live.memory, live);
  const overShown = now.over({ memory: shown.memory });
  readOnStacks(overShown, [...stackPlan.examples, ...onThreads(overShown)]);
  const known = runtimeRanges(now, goroutines);
  const writable = runsOf(live.mappings, (mapping) => mapping.writable);
  for (const ranges of [recording.recorded(), pointed.recording.recorded(), stackPlan.waits.syncWords]) {
    known.addAll(writable.partsOf(ranges));
  }
  known.addAll(outside(writable.partsOf(named.recording.recorded()), stacks, MOST_NAMED));
  const records = new Runs(known, MAX_GAP);
  const queues = new Runs(stackPlan.waits.withSudogs(), MAX_QUEUE_GAP);
  stackPlan.bind(records, stacks);
  const constants = constantRuns(live.mappings);
  const read = [pointed, named, shown].flatMap((reads) => reads.recording.recorded());
  return { program, records, stacks, queues, stackPlan, constants, read };
}

/** The goroutines that threads run, those in system calls too. */
function onThreads(program: GoProgram): G[] {
  return program.machines.flatMap(({ curg }) =>
    curg === 0
      ? []
      : onFault(
          () => readGoroutine(program, curg) ?? [],
          () => [],
        ),
  );
}

/** The parts of ranges that are not on stacks, up to so many bytes of them. */
function* outside(ranges: Iterable<Range>, stacks: Runs, most: number): Iterable<Range> {
  let left = most;
  for (const { lo, hi } of ranges) {
    let at: number = lo;
    for (let i = stacks.firstEndingAbove(lo); at < hi && left > 0; i++) {
      const end = i < stacks.length ? Math.min(hi, stacks.startOf(i)) : hi;
      left -= Math.max(0, end - at);
      if (at < end) yield { lo: at as Addr, hi: end as Addr };
      at = i < stacks.length ? stacks.endOf(i) : hi;
    }
  }
}

/** Reads into the same room again and again: windows of a process's memory would each be memory of their own. */
function readFirst(live: Contents): ReadFirst {
  const slabs = {
    gs: new Slab(),
    sudogs: new Slab(),
    channels: new Slab(),
    frames: new Slab(),
    timers: new Slab(),
    defers: new Slab(),
  };
  return (program, ranges, what) => {
    // All of it may be looked at, also what lies between.
    const runs = new Runs(new Runs(ranges, MAX_GAP), 0);
    slabs[what].grow();
    const reader = live.reader(runs, slabs[what]);
    const read = new RunSource(runs, reader.bytes, reader.read());
    return program.over({ memory: new Memory(new LayeredSource([read, program.memory.source])) });
  };
}

/** True if a program has loaded a plugin since it was surveyed. */
export function hasNewModules(program: GoProgram, source: Pick<LiveProcess, 'bytesNow'>): boolean {
  const last = program.code.modules.at(-1)?.module;
  if (last === undefined) return false;
  const next = source.bytesNow(plus(last.addr, last.layout.offset('next')), 8);
  return next !== null && wordAt(new DataView(next.buffer), 0) !== last.next;
}

/** Memory that a process can read, but not write. */
export function constantRuns(mappings: readonly Mapping[]): Runs {
  return runsOf(mappings, ({ readable, writable, path }) => readable && !writable && !path.startsWith('['));
}

function runsOf(mappings: readonly Mapping[], isMeant: (mapping: Mapping) => boolean): Runs {
  return new Runs(
    mappings.filter(isMeant).map(({ start, end }) => ({ lo: start, hi: end })),
    0,
  );
}
