import type { Work } from '../../snapshots/work.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { WaitsOn } from '../waits/model.js';
import { WorkReader } from '../work/work-reader.js';
import type { WorkItem } from './model.js';
import { spanText } from './wait-texts.js';
import { workOfWaits } from './waiting-work.js';

/** What goroutines work on: as the capture found it out, or else as the memory tells. */
export class WorkingOn {
  readonly #program: GoProgram;
  readonly #torn: ReadonlySet<number>;
  readonly #reader: WorkReader;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#torn = new Set(program.image.capture.torn);
    this.#reader = new WorkReader(program, true);
  }

  /** Of a goroutine that waits on these things; `frames` are those of its stack, asked for where the capture did not find out. */
  of(g: G, frames: () => readonly PhysicalFrame[], waits: readonly WaitsOn[]): readonly Work[] {
    if (this.#torn.has(g.addr)) return [];
    const told = this.told(g, frames, () => waits);
    const lock = told.find(({ kind }) => kind === 'lock') ?? null;
    const waiting = workOfWaits(waits, lock);
    const others = lock === null ? told : told.filter((work) => work !== lock);
    return waiting === null ? others : [...others, waiting];
  }

  /** The same without what is known of the waits alone. Of a lock, its name. */
  told(g: G, frames: () => readonly PhysicalFrame[], waits: () => readonly WaitsOn[]): readonly Work[] {
    const before = this.#program.workOf(g);
    return before ?? (this.#torn.has(g.addr) ? [] : this.#reader.of(frames(), waits));
  }
}

/** Plain data for JSON and text, about a capture that was made then (ISO 8601; null if that is not known). */
export function describeWork(
  { kind, text, sure, since, group, deadlineMs }: Work,
  capturedAt: string | null,
): WorkItem {
  const left = deadlineMs === undefined || capturedAt === null ? '' : leftText(deadlineMs - Date.parse(capturedAt));
  return { kind, text: text + left, sure, since: since === null ? null : timeOf(since), group };
}

/** ` (in 3.2 s)`, ` (3.2 s ago)` */
function leftText(ms: number): string {
  return ms < 0 ? ` (${spanText(-1e6 * ms)} ago)` : ` (in ${spanText(1e6 * ms)})`;
}

/** Seconds beyond what a Date can hold are damage. */
function timeOf(seconds: number): string | null {
  return seconds > 8.64e12 ? null : new Date(1000 * seconds).toISOString();
}
