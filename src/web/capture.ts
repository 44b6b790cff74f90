import { FLAGS, type PageCapture, type PageDocument } from './document.js';
import { printable } from '../render/text.js';

/** A place in the program, ready to be shown. */
export interface Place {
  readonly func: string;
  /** With the line. */
  readonly file: string;
}

/** A frame of a stack. */
export interface StackLine extends Place {
  readonly loc: number;
  readonly inlined: boolean;
  /** The runtime's, or that of a package that waits on behalf of others: what is further in than the innermost user place. */
  readonly inner: boolean;
}

/** Looks things up in a document. Whatever it returns for showing has no characters that cannot be seen. */
export class Tables {
  readonly document: PageDocument;

  constructor(document: PageDocument) {
    this.document = document;
  }

  text(number: number): string {
    return printable(this.raw(number));
  }

  /** As the program has it. */
  raw(number: number): string {
    return this.document.strings[number] ?? '';
  }

  /** null where the place is not known. */
  place(loc: number): Place | null {
    const found = this.document.locs[loc];
    if (found === undefined) return null;
    const [func, file, line] = found;
    return { func: this.text(func), file: `${this.text(file)}:${line}` };
  }

  /** The number of the function of a place; -1 for none. */
  funcOf(loc: number): number {
    return this.document.locs[loc]?.[0] ?? -1;
  }

  /** Innermost first. */
  linesOf(frames: readonly number[], user: number): StackLine[] {
    const userAt = frames.findIndex((frame) => frame >> 1 === user);
    return frames.map((frame, i) => {
      const loc = frame >> 1;
      const place = this.place(loc) ?? { func: '?', file: '?' };
      return { ...place, loc, inlined: frame % 2 === 1, inner: i < userAt };
    });
  }
}

/** The goroutines of one capture, by their rows. */
export class Capture {
  readonly tables: Tables;
  readonly data: PageCapture;
  readonly count: number;
  readonly isOneRuntime: boolean;
  #rowOf: Map<number, Map<number, number>> | null = null;
  #threadOf: Map<number, readonly [row: number, m: number, tid: number]> | null = null;

  constructor(tables: Tables, data: PageCapture) {
    this.tables = tables;
    this.data = data;
    this.count = data.goroutines.goid.length;
    this.isOneRuntime = data.summary.runtimes.length <= 1;
  }

  /** Every row. */
  rows(): number[] {
    return [...Array(this.count).keys()];
  }

  /** The row of a goroutine; -1 if it is not listed. */
  row(goid: number, runtime: number): number {
    return (this.#rowOf ??= this.#rows()).get(runtime)?.get(goid) ?? -1;
  }

  /** Of each runtime, the rows by the ids of goroutines. */
  #rows(): Map<number, Map<number, number>> {
    const rows = new Map(this.data.summary.runtimes.map(({ n }) => [n, new Map<number, number>()]));
    this.data.goroutines.goid.forEach((goid, row) => rows.get(this.runtime(row))?.set(goid, row));
    return rows;
  }

  goid(row: number): number {
    return this.data.goroutines.goid[row] ?? 0;
  }

  runtime(row: number): number {
    return this.data.goroutines.runtime[row] ?? 0;
  }

  status(row: number): string {
    return this.tables.text(this.data.goroutines.status[row] ?? -1);
  }

  /** What it waits for in the runtime's words, else its status. */
  state(row: number): string {
    return this.tables.text(this.stateOf(row));
  }

  stateOf(row: number): number {
    const { waitReason, status } = this.data.goroutines;
    const reason = waitReason[row] ?? -1;
    return reason < 0 ? (status[row] ?? -1) : reason;
  }

  /** Nanoseconds; -1 where it is not known. */
  waitNs(row: number): number {
    return this.data.goroutines.waitSinceNs[row] ?? -1;
  }

  entry(row: number): Place | null {
    return this.tables.place(this.data.goroutines.entry[row] ?? -1);
  }

  creator(row: number): Place | null {
    return this.tables.place(this.data.goroutines.creator[row] ?? -1);
  }

  user(row: number): Place | null {
    return this.tables.place(this.userOf(row));
  }

  userOf(row: number): number {
    return this.stack(row)?.user ?? -1;
  }

  stack(row: number): PageDocument['stacks'][number] | undefined {
    return this.tables.document.stacks[this.data.goroutines.stack[row] ?? -1];
  }

  labels(row: number): [name: string, value: string][] {
    const set = this.data.labelSets[this.data.goroutines.labels[row] ?? -1] ?? [];
    const pairs: [string, string][] = [];
    for (let i = 0; i < set.length; i += 2)
      pairs.push([this.tables.raw(set[i] ?? -1), this.tables.raw(set[i + 1] ?? -1)]);
    return pairs;
  }

  has(row: number, flag: keyof typeof FLAGS): boolean {
    return ((this.data.goroutines.flags[row] ?? 0) & FLAGS[flag]) !== 0;
  }

  /** The thread that runs it, or null. */
  thread(row: number): { readonly m: number; readonly tid: number } | null {
    this.#threadOf ??= new Map(this.data.goroutines.threads.map((thread) => [thread[0], thread]));
    const found = this.#threadOf.get(row);
    return found === undefined ? null : { m: found[1], tid: found[2] };
  }
}
