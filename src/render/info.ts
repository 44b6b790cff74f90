import type { Target } from '../../analyze/report/model.js';
import type { SnapshotCheck } from '../../snapshots/gsp/verify.js';
import { counted, duration, grouped, printable, size } from './text.js';

/** What is in a snapshot, a line a fact. `target` is null where no Go program can be read from it. */
export function infoText(path: string, check: SnapshotCheck, target: Target | null): string {
  const rows: (readonly [string, string])[] = [
    ['file', `${printable(path)}, ${size(check.sizeBytes)}`],
    ['format', `${check.formatVersion}, written by ${writer(check.writer)}`],
    ['whole', check.ok ? 'yes, every checksum is right' : `no, ${counted(check.problems.length, 'problem')}`],
    ...check.problems.map((problem) => ['problem', printable(problem)] as const),
  ];
  if (target !== null) {
    rows.push(['program', `${printable(target.bin)}, Go ${printable(target.goVersion)}, ${target.arch}`]);
  }
  if (check.facts !== null) rows.push(...factRows(check.facts));
  rows.push(['memory', `${size(check.memoryBytes)} of the process, in ${counted(check.chunks, 'chunk')}`]);
  for (const { name, offset, count, storedBytes, rawBytes } of check.sections) {
    const many = count === 1 ? '' : `, ${grouped(count)} of them`;
    rows.push([
      'section',
      `${printable(name)} at ${grouped(offset)}${many}: ${size(storedBytes)}, uncompressed ${size(rawBytes)}`,
    ]);
  }
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `${label.padEnd(width)}  ${text}\n`).join('');
}

function factRows(facts: NonNullable<SnapshotCheck['facts']>): (readonly [string, string])[] {
  const { capture, executable, host } = facts;
  return [
    ['process', `pid ${facts.pid} on ${printable(host.hostname)}, kernel ${printable(host.kernel)}`],
    ['build id', printable(executable.buildId ?? executable.goBuildId ?? 'none')],
    ['captured', `${printable(capture.capturedAt ?? 'at a time that is not known')}, mode ${capture.mode}`],
    ['pause', capture.pauseNs === null ? 'not known' : duration(capture.pauseNs)],
    ['threads', grouped(facts.threads.length)],
    ['mappings', grouped(facts.mappings.length)],
    ['partial', capture.partial ? 'yes, the warnings say what is missing' : 'no'],
  ];
}

function writer(version: string | null): string {
  return version === null ? 'an unknown gospy' : `gospy ${printable(version)}`;
}
