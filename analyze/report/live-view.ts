import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { Describer } from './goroutines.js';
import { Grouping, type Group, type GroupBy } from './groups.js';
import type { Goroutine, Summary } from './model.js';
import { summarize } from './summary.js';

/** What is asked of a program at one moment. */
export interface ViewQuery {
  readonly by: GroupBy;
  /** The key of the group whose goroutines are asked for, or null. */
  readonly open: string | null;
  /** The goroutine whose stack is asked for, or null. */
  readonly goid: number | null;
}

/** The answer. */
export interface LiveView {
  readonly question: ViewQuery;
  readonly summary: Summary;
  /** The largest first. */
  readonly groups: readonly Group[];
  /** Keys of the labels that goroutines have, by the alphabet, at most some. */
  readonly labelKeys: readonly string[];
  /** Of the open group, in the order of their ids, at most {@link MAX_MEMBERS}; null where none was asked for. */
  readonly members: readonly Goroutine[] | null;
  /** With its stack; null where none was asked for, or it has ended. */
  readonly goroutine: Goroutine | null;
}

/** A list that nobody reads to its end. */
export const MAX_MEMBERS = 10_000;
/** Goroutines of an open group whose innermost frame outside of the runtime is looked for on their stacks. */
const MAX_LOCATED = 1000;
const MAX_LABEL_KEYS = 32;

/** Answers all of a question in one pass over the goroutines. */
export function buildView(program: GoProgram, question: ViewQuery): LiveView {
  const { by, open, goid } = question;
  const grouping = new Grouping(program, by);
  const describe = new Describer(program, { frames: false, user: by.kind === 'user' });
  const members: G[] = [];
  const labelKeys = new Set<string>();
  const wanted: G[] = [];
  function* pass(): Iterable<Goroutine> {
    for (const g of program.goroutines()) {
      const goroutine = describe.goroutine(g);
      const key = grouping.add(g, goroutine);
      if (key === open && members.length < MAX_MEMBERS) members.push(g);
      if (g.goid === goid) wanted.push(g);
      if (g.labels !== 0 && labelKeys.size < MAX_LABEL_KEYS)
        Object.keys(goroutine.labels).forEach((k) => labelKeys.add(k));
      yield goroutine;
    }
  }
  const summary = summarize(program, pass());
  return {
    question,
    summary,
    groups: grouping.groups(),
    labelKeys: [...labelKeys].sort(),
    members: open === null ? null : described(program, members),
    goroutine: wanted.map((g) => new Describer(program, { frames: true, user: true }).goroutine(g))[0] ?? null,
  };
}

function described(program: GoProgram, members: readonly G[]): Goroutine[] {
  const located = new Describer(program, { frames: false, user: true });
  const plain = new Describer(program, { frames: false, user: false });
  return members.map((g, i) => (i < MAX_LOCATED ? located : plain).goroutine(g));
}
