import { Argument, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { AliveGroup, LeakGroup } from '../../analyze/report/leaks.js';
import type { Relation } from '../../analyze/report/relation.js';
import type { Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { usageError } from '../../snapshots/errors.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import {
  binOption,
  debugDirOption,
  examples,
  jsonOption,
  limitOption,
  maxHeapOption,
  pidOption,
  runtimeOption,
} from '../options.js';
import { withTargets, type NamedTarget } from './with-target.js';

interface LeaksOptions {
  readonly pid?: number;
  readonly bin?: string;
  readonly debugDir?: readonly string[];
  readonly runtime?: string;
  readonly proof: boolean;
  /** Megabytes. */
  readonly maxHeap: number;
  readonly limit: number;
  readonly json?: true;
}

/** `gospy leaks`: goroutines that nothing can ever wake, and those that become more and more. */
export function define(command: Command, io: Io): void {
  command
    .summary('goroutines that nothing can ever wake, or that become more and more')
    .description(
      'Of one target: goroutines that are proved to be leaked. The proof is made by marking the heap of a live process, in a ' +
        'frozen clone of it, or of a core; a snapshot has it if it was captured with --leaks. Without a proof: goroutines ' +
        'that may be leaked. Of several snapshots of one process: also groups that only grow, how fast, and since when.',
    )
    .addArgument(new Argument('[TARGET...]', 'a .gsp snapshot or an ELF core; or several snapshots, in any order'))
    .addOption(pidOption('read the live process N, after the snapshots if there are any'))
    .option('--no-proof', 'do without the proof: a live process is not cloned but stopped, and the heap is not read')
    .addOption(maxHeapOption())
    .addOption(binOption())
    .addOption(debugDirOption())
    .addOption(runtimeOption())
    .addOption(limitOption('print at most N groups, 0 for all', 20))
    .addOption(jsonOption())
    .action((files: readonly string[], options: LeaksOptions) => printLeaks(io, files, options));
  examples(command, ['gospy leaks --pid 4711', 'gospy leaks monday.gsp tuesday.gsp wednesday.gsp']);
}

/** What is found in all targets. */
interface Found {
  readonly target: Target;
  readonly proof: 'marked' | null;
  readonly groups: readonly LeakGroup[];
  readonly alive: readonly AliveGroup[];
  readonly warnings: readonly Warning[];
}

async function printLeaks(io: Io, files: readonly string[], options: LeaksOptions): Promise<void> {
  const forget = options.pid === undefined ? () => undefined : await endingClones();
  const found = await findLeaks(io, files, options).finally(forget);
  const { target, proof, groups, alive, warnings } = found;
  const captures = files.length + (options.pid === undefined ? 0 : 1);
  if (options.json === true) {
    await io.json({ schema: 'gospy.leaks/1', target, captures, proof, groups, alive, warnings });
  } else {
    const { leaksText } = await import('../render/leaks.js');
    for (const text of leaksText({ kind: target.kind, captures, proof, groups, alive }, options.limit))
      await io.write(text);
  }
  io.warnings(warnings);
}

/** A signal that ends gospy ends the clones that it made too. Returns a function that undoes this. */
async function endingClones(): Promise<() => void> {
  const { endClones } = await import('../../capture/clone/clone.js');
  return onInterrupt(endClones);
}

/** Opens one target at a time besides the first: of each only how many goroutines there are of each kind is kept. */
async function findLeaks(io: Io, files: readonly string[], options: LeaksOptions): Promise<Found> {
  const { pid, bin, debugDir, runtime } = options;
  const targets: NamedTarget[] = files.map((file) => ({ file, bin, debugDir, runtime }));
  if (pid !== undefined) targets.push({ pid, bin, runtime });
  const [{ findAllLeaks, targetOfAll }, { GrowthFinder }, { relationOf }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../../analyze/report/leak-growth.js'),
    import('../../analyze/report/relation.js'),
  ]);
  const [first = {}, ...others] = targets;
  const growth = new GrowthFinder();
  let latest = first;
  const found: Found[] = [];
  const report = (programs: Programs): Promise<void> => {
    const { value, warnings } = findAllLeaks(programs);
    const groups = others.length === 0 ? value.groups : growth.join(value.groups);
    found.push({ ...value, target: targetOfAll(programs), groups, warnings });
    return Promise.resolve();
  };
  const leaks = options.proof ? { maxHeapBytes: options.maxHeap * 2 ** 20 } : undefined;
  if (others.length > 0) {
    await withTargets(io, [first], async ([earlier]) => {
      growth.add(earlier);
      for (const other of others) {
        // A process is not captured a second time.
        const isLast = other.pid !== undefined;
        const add = ([programs]: readonly [Programs]): Promise<void> => {
          assertSameProcess(relationOf(earlier[0], programs[0]), other);
          if (growth.add(programs)) latest = other;
          return isLast ? report(programs) : Promise.resolve();
        };
        await withTargets(io, [other], add, isLast ? { leaks } : {});
      }
    });
  }
  if (found.length === 0) await withTargets(io, [latest], ([programs]) => report(programs), { leaks });
  const [only] = found;
  if (only === undefined) throw new RangeError('there is no target');
  return only;
}

function assertSameProcess({ kind }: Relation, { file = 'the live process' }: NamedTarget): void {
  if (kind === 'same-process') return;
  throw usageError(`${file} is not of the process that the first target is of`, {
    hint: 'growth can be told between captures of one process; `gospy diff` compares two of different ones',
  });
}
