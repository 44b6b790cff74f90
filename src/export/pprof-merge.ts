import type { GoProgram } from '../../analyze/program.js';
import { linesOf, visitSharedStacks, type SharedStack } from '../../analyze/report/shared-stacks.js';
import { pluralize, printable, withThousands } from '../render/text.js';
import type { Source } from './model.js';
import { LabelNames, storeName, type SampleLabels } from './pprof-labels.js';

/** What a store takes of one profile. */
export interface StoreLimits {
  readonly samples: number;
  /** Frames of one sample. */
  readonly frames: number;
  /** Names of labels. */
  readonly labels: number;
}

/** What Pyroscope takes by default (pkg/validation/limits.go): of 30 labels, it adds some of its own. */
export const STORE: StoreLimits = { samples: 16_000, frames: 1000, labels: 24 };
/** Names that a store gives the series itself. */
const RESERVED = new Set(['service_name', '__name__']);

/** Goroutines with equal stacks and labels. */
export interface MergedSample {
  readonly program: GoProgram;
  readonly stack: SharedStack;
  readonly labels: SampleLabels;
  count: number;
  /** The sum of what is known of their waits, in nanoseconds. */
  waitNs: number;
}

/**
 * Merges goroutines with the same lines on their stacks and the same labels. For a store with limits, labels with the most values are
 * left out until there are no more samples than it takes, and then the rarest stacks become one: `note` is told so.
 */
export function mergeSamples(source: Source, limits: StoreLimits | null, note: (line: string) => void): MergedSample[] {
  let samples = countSamples(source, limits !== null);
  if (limits === null) return samples;
  for (let most = mostVaried(samples); most !== null; most = mostVaried(samples)) {
    if (samples.length <= limits.samples && most.keys <= limits.labels) break;
    const why = most.keys > limits.labels ? `${limits.labels} labels` : `${withThousands(limits.samples)} samples`;
    note(`a store takes ${why}: label ${printable(most.key)} with ${pluralize(most.values, 'value')} is left out`);
    samples = without(samples, most.key);
  }
  if (samples.length > limits.samples) {
    samples.sort((a, b) => b.count - a.count);
    const rare = samples.splice(limits.samples - 1);
    note(
      `a store takes ${withThousands(limits.samples)} samples: the rarest ${withThousands(rare.length)} stacks are one`,
    );
    const [first] = rare;
    if (first !== undefined) samples.push({ ...rare.reduce(added, { ...first, count: 0, waitNs: 0 }), stack: OTHERS });
  }
  return samples;
}

const OTHERS: SharedStack = {
  frames: [{ pc: 0, lines: [{ func: '(rarer stacks)', file: '', line: 0, inlined: false }] }],
  truncated: null,
  user: null,
  app: null,
};

function countSamples({ programs, query }: Source, forStore: boolean): MergedSample[] {
  const names = new LabelNames(programs.length > 1, forStore ? nameInStore : (name) => name);
  const samples = new Map<string, MergedSample>();
  const stackIds = new StackNumbers();
  visitSharedStacks(programs, query.selection ?? {}, ({ program, goroutine, stack }) => {
    const labels: SampleLabels = { ...names.of(goroutine), numbers: [] };
    addTo(samples, stackIds, { program, stack, labels, count: 1, waitNs: goroutine.waitSinceNs ?? 0 });
  });
  return [...samples.values()];
}

function nameInStore(key: string): string {
  const name = storeName(key);
  return RESERVED.has(name) ? `label_${name}` : name;
}

/** Adds a sample to the one with the same lines and labels. */
function addTo(samples: Map<string, MergedSample>, stackIds: StackNumbers, one: MergedSample): void {
  const { program, stack, labels } = one;
  const key = `${program.runtime.n} ${stackIds.of(stack)} ${JSON.stringify(labels.texts)}`;
  const known = samples.get(key);
  if (known === undefined) samples.set(key, one);
  else added(known, one);
}

function added(sum: MergedSample, { count, waitNs }: MergedSample): MergedSample {
  sum.count += count;
  sum.waitNs += waitNs;
  return sum;
}

/** Of the labels of samples, the one with the most values; null if there is none. `keys` says how many labels there are. */
function mostVaried(samples: readonly MergedSample[]): { key: string; values: number; keys: number } | null {
  const values = new Map<string, Set<string>>();
  for (const { labels } of samples) {
    for (const [key, value] of labels.texts) {
      const known = values.get(key);
      if (known === undefined) values.set(key, new Set([value]));
      else known.add(value);
    }
  }
  const [most] = [...values].sort(([, a], [, b]) => b.size - a.size);
  return most === undefined ? null : { key: most[0], values: most[1].size, keys: values.size };
}

function without(samples: readonly MergedSample[], left: string): MergedSample[] {
  const merged = new Map<string, MergedSample>();
  const stackIds = new StackNumbers();
  for (const sample of samples) {
    const labels = { numbers: [], texts: sample.labels.texts.filter(([key]) => key !== left) };
    addTo(merged, stackIds, { ...sample, labels });
  }
  return [...merged.values()];
}

/** Numbers stacks: those with the same lines have the same number. */
class StackNumbers {
  readonly #known = new WeakMap<SharedStack, number>();
  readonly #byLines = new Map<string, number>();

  of(stack: SharedStack): number {
    let number = this.#known.get(stack);
    if (number === undefined) {
      const lines = [...linesOf(stack)].map(({ func, file, line }) => `${func} ${file}:${line}`);
      const key = [...lines, stack.truncated === null ? '' : '!'].join('\n');
      number = this.#byLines.get(key) ?? this.#byLines.size;
      this.#byLines.set(key, number);
      this.#known.set(stack, number);
    }
    return number;
  }
}
