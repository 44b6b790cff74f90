import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collector = (options: { type: 'minor' }) => void;

let collector: Collector | null = null;

/**
 * Empties the young generation of the heap, so that no collection (1-5 ms) falls into the stop that follows. Does nothing
 * if this engine does not expose its collector.
 */
export function collectGarbage(): void {
  collector ??= findCollector();
  collector({ type: 'minor' });
}

function findCollector(): Collector {
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext("typeof gc === 'function' ? gc : null");
  return typeof found === 'function' ? (found as Collector) : () => undefined;
}
