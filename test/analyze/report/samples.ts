import { fileURLToPath } from 'node:url';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import type { Goroutine, Loc } from '../../../analyze/report/model.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';

/** The program in one of snapshots/samples, which is closed when the test ends. */
export function openSample(t: { teardown(end: () => void): void }, name: string): GoProgram {
  const image = openSnapshot(fileURLToPath(new URL(`../../../../snapshots/samples/${name}`, import.meta.url)));
  t.teardown(() => image.close());
  return openProgram(image);
}

export function placeOf(func: string, line = 1): Loc {
  return { func, file: '/src/main.go', line, pc: '0x1000' };
}

/** A parked goroutine that differs from others in what is given. */
export function goroutineWith(changes: Partial<Goroutine> & { readonly goid: number }): Goroutine {
  return {
    ...{ runtime: 1, status: 'waiting', waitReason: 'chan receive', waitSinceNs: null, system: false, thread: null },
    ...{ lockedToThread: false, labels: {}, parentGoid: 1, creator: WORKERS, start: WORKER, entry: WORKER },
    ...{ current: PARK, torn: false, ...changes },
  };
}

const WORKERS = placeOf('main.main', 10);
const WORKER = placeOf('main.worker', 20);
const PARK = placeOf('runtime.gopark', 30);
