import type { CaptureReport } from '../../capture/capture.js';
import { counted, duration, printable, size } from './text.js';

/** What a capture made, and what the process felt of it. */
export function captureText(report: CaptureReport): string {
  const { path, pid, goVersion, goroutines, threads, bytesRead, bytesWritten } = report;
  return (
    `${printable(path)}: ${size(bytesWritten)}, ${counted(goroutines, 'goroutine')} and ` +
    `${counted(threads, 'thread')} of process ${pid} (Go ${printable(goVersion)}), from ${size(bytesRead)} read\n` +
    `${pause(report)}\n`
  );
}

function pause({ mode, pauseNs, partial }: CaptureReport): string {
  const felt = mode === 'live' ? 'The process was not stopped' : `The process stood still for ${duration(pauseNs)}`;
  return `${felt}${partial ? '; the snapshot is partial' : ''}.`;
}
