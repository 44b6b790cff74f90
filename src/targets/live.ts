import { reopenPrograms, type Programs } from '../../analyze/program.js';
import type { CaptureMode, CaptureOptions } from '../../capture/capture.js';
import type { Captured } from '../../capture/copy/assemble-image.js';
import { unsupported } from '../../snapshots/errors.js';
import { version } from '../version.js';
import type { Binary } from './binary.js';
import type { Opening } from './target.js';

/** Throws `unsupported` on systems other than Linux, whose /proc and ptrace a capture needs. */
export function requireLinux(): void {
  if (process.platform === 'linux') return;
  throw unsupported(`live processes are captured on Linux, and this is ${process.platform}`, {
    hint: 'capture where the process runs: snapshots are read here all the same',
  });
}

/** Opens what `--bin` names. Throws GospyError where it cannot be read or is not an executable. */
export async function openBinary(path: string | undefined): Promise<Binary | null> {
  if (path === undefined) return null;
  const { Binary } = await import('./binary.js');
  return new Binary(path);
}

/**
 * Options of a capture. With `binary`, a process that runs another program is refused before anything is stopped.
 * Throws as {@link requireLinux}.
 */
export function captureOptions(mode: CaptureMode, binary: Binary | null, opening: Opening = {}): CaptureOptions {
  requireLinux();
  const { progress, signal, leaks, decoders } = opening;
  return {
    mode,
    writer: version(),
    debugInfo: (names) => binary?.debugInfo(names) ?? new Map(),
    inspect: (programs) => binary?.assertMatches(programs),
    ...(progress === undefined ? {} : { progress }),
    ...(signal === undefined ? {} : { signal }),
    ...(leaks === undefined ? {} : { leaks }),
    ...(decoders === undefined ? {} : { decoders }),
  };
}

/** Returns the captured programs over the memory that a snapshot of them would hold, without searching for them again. */
export function programsIn({ image, programs }: Captured): Programs {
  return reopenPrograms(image, programs);
}
