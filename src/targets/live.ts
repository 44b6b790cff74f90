import type { CaptureMode, CaptureOptions } from '../../capture/capture.js';
import { unsupported } from '../../snapshots/errors.js';
import type { Binary } from './binary.js';
import type { Io } from '../io.js';
import { version } from '../version.js';

/** Throws `unsupported` on a system other than Linux, where there is no /proc to look for a process in. */
export function requireLinux(): void {
  if (process.platform === 'linux') return;
  throw unsupported(`live processes are captured on Linux, and this is ${process.platform}`, {
    hint: 'capture where the process runs: snapshots are read here all the same',
  });
}

/**
 * Options for a capture that shows its progress, and that is refused before anything is stopped where `binary` is not
 * the program. Throws as {@link requireLinux}.
 */
export function captureOptions(io: Io, mode: CaptureMode, binary: Binary | null = null): CaptureOptions {
  requireLinux();
  return {
    mode,
    writer: version(),
    progress: (doing) => io.progress(doing),
    debugInfo: (names) => binary?.debugInfo(names) ?? new Map(),
    inspect: (program) => binary?.check(program),
  };
}
