import type { CaptureReport } from '../../capture/capture.js';
import { counted, duration, printable, size } from './text.js';

/** A report of a capture, or of a core that was distilled. */
type Report = Omit<CaptureReport, 'mode' | 'pauseNs'> & {
  readonly mode: CaptureReport['mode'] | 'core';
  readonly pauseNs: number | null;
};

/** What a capture made, and what the process felt of it. */
export function captureText(report: Report): string {
  const { path, pid, goVersion, goroutines, threads, bytesRead, bytesWritten } = report;
  return (
    `${printable(path)}: ${size(bytesWritten)}, ${counted(goroutines, 'goroutine')} and ` +
    `${counted(threads, 'thread')} of process ${pid} (Go ${printable(goVersion)}), from ${size(bytesRead)} read\n` +
    `${pause(report)}\n`
  );
}

function pause({ mode, pauseNs, partial }: Report): string {
  const felt = {
    live: 'The process was not stopped',
    stop: `The process stood still for ${duration(pauseNs ?? 0)}`,
    clone: `The process stood still for ${duration(pauseNs ?? 0)} while it was cloned`,
    core: 'It was made of a core',
  }[mode];
  return `${felt}${partial ? '; the snapshot is partial' : ''}.`;
}
