import type { Goroutine } from '../../analyze/report/model.js';

/** The labels of a sample. */
export interface SampleLabels {
  readonly numbers: readonly (readonly [key: string, value: number])[];
  readonly texts: readonly (readonly [key: string, value: string])[];
}

/** Keys of the labels that gospy adds; a label of the program with such a key becomes `label_KEY`. */
const OWN = ['goid', 'parent_goid', 'status', 'wait_reason', 'runtime'] as const;

/** Says what the labels of goroutines are called in a profile. No two of them get the same name. */
export class LabelNames {
  readonly #several: boolean;
  readonly #nameOf: (key: string) => string;
  readonly #names = new Map<string, string>();
  readonly #taken = new Set<string>(OWN);

  /** `several` adds the number of the runtime; `nameOf` maps a key to one that the reader takes. */
  constructor(several: boolean, nameOf: (key: string) => string) {
    this.#several = several;
    this.#nameOf = nameOf;
  }

  of({ status, waitReason, runtime, labels }: Goroutine): Pick<SampleLabels, 'texts'> {
    const texts: [string, string][] = [['status', status]];
    if (waitReason !== null) texts.push(['wait_reason', waitReason]);
    if (this.#several) texts.push(['runtime', String(runtime)]);
    for (const [key, value] of Object.entries(labels)) texts.push([this.#named(key), value]);
    return { texts };
  }

  #named(key: string): string {
    let name = this.#names.get(key);
    if (name === undefined) {
      const plain = this.#nameOf(key);
      name = plain;
      for (let n = 1; this.#taken.has(name); n++) name = `label_${plain}${n === 1 ? '' : `_${n}`}`;
      this.#taken.add(name);
      this.#names.set(key, name);
    }
    return name;
  }
}

/** A name as Prometheus takes them: letters, digits and underscores. */
export function storeName(key: string): string {
  const name = key.replace(/[^a-zA-Z0-9_]/g, '_');
  return /^[a-zA-Z_]/.test(name) ? name : `_${name}`;
}
