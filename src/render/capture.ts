import { basename } from 'node:path';
import type { CaptureReport } from '../../capture/capture.js';
import type { CoreSnapshotReport } from '../targets/core-to-snapshot.js';
import { duration, pluralize, printable, size, withThousands } from './text.js';

type Report = CaptureReport | CoreSnapshotReport;

/** Two lines: what was written, and for how long the process stood still. */
export function captureText(report: Report): string {
  const { path, pid, goVersion, runtimes, goroutines, threads, bytesRead, bytesWritten } = report;
  const go =
    runtimes.length === 1
      ? `Go ${printable(goVersion)}`
      : runtimes.map(({ file, goVersion: v }) => `${printable(basename(file))}: Go ${printable(v)}`).join(', ');
  return (
    `${printable(path)}: ${size(bytesWritten)}, ${pluralize(goroutines, 'goroutine')} and ` +
    `${pluralize(threads, 'thread')} of process ${pid} (${go}), from ${size(bytesRead)} read\n` +
    `${pauseText(report)}${report.partial ? '; the snapshot is partial' : ''}.\n${leaksText(report)}`
  );
}

/** What was proved, if it was. */
function leaksText({ leaks }: Report): string {
  if (leaks === null) return '';
  const { blocked, leaked } = leaks;
  return `Of ${pluralize(blocked, 'blocked goroutine')}, ${withThousands(leaked)} can never be woken.\n`;
}

function pauseText(report: Report): string {
  const { mode, pauseNs } = report;
  switch (mode) {
    case 'live':
      return 'The process was not stopped';
    case 'stop':
      if (pauseNs === 0) return 'The process stood still already, since it is frozen';
      return `The process stood still for ${duration(pauseNs)}${lateText(report)}`;
    case 'clone':
      return `The process stood still for ${duration(pauseNs)} while it was cloned${lateText(report)}`;
    case 'core':
      return 'It was made from a core';
  }
}

/** Threads that had no CPU in that time, so that they could not even be stopped. */
function lateText({ lateThreads, longestLateNs }: Report): string {
  if (lateThreads === null || lateThreads === 0) return '';
  return `, and ${pluralize(lateThreads, 'late thread')} for ${duration(longestLateNs)} at most`;
}
