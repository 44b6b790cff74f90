import { ExitCode } from '../snapshots/errors.js';

const cleanups = new Set<() => void>();

/** Runs `cleanup`, which must be synchronous, if a signal ends gospy. Returns a function that undoes this. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
  };
}

/** Makes SIGINT, SIGTERM and SIGHUP run the cleanups, the last added first, and end gospy with exit code 130. */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      for (const cleanup of [...cleanups].reverse()) {
        try {
          cleanup();
        } catch {
          // The other cleanups must still run.
        }
      }
      process.exit(ExitCode.interrupted);
    });
  }
}
