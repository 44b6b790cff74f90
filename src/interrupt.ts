import { ExitCode } from '../snapshots/errors.js';

const cleanups = new Set<() => void>();

/** Runs `cleanup` should a signal end gospy; returns what takes it back. It must not wait for anything. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
  };
}

/** From here on SIGINT, SIGTERM and SIGHUP clean up and end gospy with exit code 130. */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      for (const cleanup of [...cleanups].reverse()) {
        try {
          cleanup();
        } catch {
          // The others still have their turn.
        }
      }
      process.exit(ExitCode.interrupted);
    });
  }
}
