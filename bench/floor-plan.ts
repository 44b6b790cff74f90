import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makePlan, survey } from '../capture/copy/plan.js';
import { LiveProcess } from '../capture/process/live-process.js';

const FLOOR_SOURCE = fileURLToPath(new URL('../../bench/floor.c', import.meta.url));

/** Builds floor.c as `path`. */
export function buildFloor(path: string): void {
  execFileSync('gcc', ['-O2', '-o', path, FLOOR_SOURCE]);
}

/** Writes the ranges that gospy would read from a process, in the form that floor.c expects. */
export function writePlan(pid: number, path: string): void {
  const target = new LiveProcess(pid, 'stop');
  try {
    const { programs, recording } = survey(target.image(), () => new Map());
    const [program] = programs;
    const { records, stacks, stackPlan } = makePlan(program, recording, target.contents());
    const g = program.layouts.of('g');
    const words = stackPlan.fingerprint;
    const offsets = [...stackPlan.goroutines].map((at) => records.offsetOf(at, g.sizeBytes)).filter((at) => at >= 0);
    const ends = [records, stacks].flatMap((runs) =>
      Array.from({ length: runs.length }, (_, i) => runs.at(i)).flatMap(({ lo, hi }) => [lo, hi]),
    );
    const checked = [g.offset('atomicstatus'), ...words];
    const counts = [records.length, stacks.length, offsets.length, checked.length];
    const plan = BigUint64Array.from([...counts, ...ends, ...offsets, ...checked].map(BigInt));
    writeFileSync(path, new Uint8Array(plan.buffer));
  } finally {
    target.close();
  }
}
