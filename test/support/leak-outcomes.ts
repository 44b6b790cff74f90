import { proveLeaks } from '../../analyze/leaks/prove.js';
import type { GoProgram } from '../../analyze/program.js';
import { LocationResolver } from '../../analyze/report/locations.js';
import { OUTCOMES, type LeakProof, type Outcome } from '../../snapshots/leak-proof.js';

const MAX_HEAP = 2 ** 30;

/** Runs a proof to its end. Throws NotProvable. */
export function provedIn(program: GoProgram): LeakProof {
  const steps = proveLeaks(program, { maxHeapBytes: MAX_HEAP });
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What a proof says of a goroutine; null if it says nothing. */
export interface Judged {
  readonly goid: number;
  readonly outcome: Outcome | null;
}

/** All goroutines by the function that they were started with, without the name of package main. */
export function outcomesByEntry(program: GoProgram, proof: LeakProof): Map<string, Judged[]> {
  const places = new LocationResolver(program);
  const outcomes = new Map([...proof.gs].map((g, i) => [g, OUTCOMES[proof.outcomes[i] ?? 0] ?? null]));
  const out = new Map<string, Judged[]>();
  for (const g of program.goroutines()) {
    const name = places.entry(g)?.func.replace('main.', '') ?? '';
    out.set(name, [...(out.get(name) ?? []), { goid: g.goid, outcome: outcomes.get(g.addr) ?? null }]);
  }
  return out;
}

/** How many goroutines there are of each function, by what the fixture prints. */
export function printedCounts(stdout: string): Map<string, number> {
  return new Map([...stdout.matchAll(/^count (\w+) (\d+)$/gm)].map(([, name = '', count]) => [name, Number(count)]));
}

/** True if nothing can ever wake the goroutine. */
export function isLeak({ outcome }: Judged): boolean {
  return outcome === 'leaked' || outcome === 'leaked but deferred';
}
