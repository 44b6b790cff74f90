import type { ValueLevel } from '../../snapshots/work.js';
import type { CaptureFacts, HostFacts } from '../../snapshots/image.js';
import type { SnapshotInfo } from '../targets/snapshot-info.js';
import { factLines, type Fact } from './facts.js';
import { programFacts } from './runtimes.js';
import { duration, pluralize, printable, size, withThousands } from './text.js';

/** What is in a snapshot, a line a fact. */
export function infoText(path: string, info: SnapshotInfo): string {
  const { problems, target, facts, sections } = info;
  return factLines([
    ['file', `${printable(path)}, ${size(info.sizeBytes)}`],
    ['format', `${info.formatVersion}, written by ${writerText(info.writer)}`],
    ['whole', info.ok ? 'yes, every checksum is right' : `no, ${pluralize(problems.length, 'problem')}`],
    ...problems.map((problem): Fact => ['problem', printable(problem)]),
    ...programFacts(target, info.runtimes),
    ...(facts === null ? [] : captureFacts(facts)),
    ...valuesFact(info.values),
    ['memory', `${size(info.memoryBytes)} of the process, in ${pluralize(info.chunks, 'chunk')}`],
    ...sections.map(({ name, offset, count, storedBytes, rawBytes }): Fact => {
      const many = count === 1 ? '' : `, ${withThousands(count)} of them`;
      const sizes = `${size(storedBytes)}, uncompressed ${size(rawBytes)}`;
      return ['section', `${printable(name)} at ${withThousands(offset)}${many}: ${sizes}`];
    }),
  ]);
}

/** Which data of users is in the file, beside what lies on stacks. */
const VALUES: Readonly<Record<ValueLevel, string>> = {
  none: 'none: nothing of what goroutines work on',
  shape: 'shape: types, addresses and numbers, paths without queries, SQL without literals',
  full: 'full: requests with their queries, hosts and SQL as they were',
};

function valuesFact(level: ValueLevel | null): Fact[] {
  return level === null ? [] : [['values', VALUES[level]]];
}

function captureFacts(facts: NonNullable<SnapshotInfo['facts']>): Fact[] {
  const { capture, executable, host } = facts;
  return [
    ['process', `pid ${facts.pid}${hostText(host)}`],
    ['build id', printable(executable.buildId ?? executable.goBuildId ?? 'none')],
    ['captured', `${printable(capture.capturedAt ?? 'at an unknown time')}, mode ${capture.mode}`],
    ['pause', capture.pauseNs === null ? 'not known' : duration(capture.pauseNs)],
    ...lateFact(capture),
    ['threads', withThousands(facts.threads.length)],
    ['mappings', withThousands(facts.mappings.length)],
    ['partial', capture.partial ? 'yes, the warnings say what is missing' : 'no'],
  ];
}

/** Nothing where no thread was late. */
function lateFact({ lateThreads, longestLateNs }: CaptureFacts): Fact[] {
  if (lateThreads === null || lateThreads === 0) return [];
  return [['late threads', `${withThousands(lateThreads)}, stopped for ${duration(longestLateNs ?? 0)} at most`]];
}

/** Nothing for a core, which does not say where it was written. */
function hostText({ hostname, kernel }: HostFacts): string {
  return hostname === '' && kernel === '' ? '' : ` on ${printable(hostname)}, kernel ${printable(kernel)}`;
}

function writerText(version: string | null): string {
  return version === null ? 'an unknown gospy' : `gospy ${printable(version)}`;
}
