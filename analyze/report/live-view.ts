import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { Describer, type Described } from './goroutines.js';
import { Grouping, type Group, type GroupBy } from './groups.js';
import type { Goroutine, GoroutineWithStack, Loc, Summary } from './model.js';
import type { Warning } from '../warnings.js';
import { SummaryCollector } from './summary.js';
import { WaitedGrouping } from './waited-groups.js';

/** What goroutines are grouped by on a screen: `locks` stands for all that they wait on and others have to end. */
export type ViewBy = GroupBy | { readonly kind: 'locks' };

/** What a screen shows of a program at one moment. */
export interface ViewQuery {
  readonly by: ViewBy;
  /** The key of the group whose goroutines are listed, or null. */
  readonly open: string | null;
  /** The id of the goroutine whose stack is shown, or null. */
  readonly goid: number | null;
}

/** A goroutine of the open group. */
export interface Member extends Goroutine {
  /** The innermost place outside the runtime for the first {@link MAX_LOCATED}; for others, the innermost of all. */
  readonly at: Loc | null;
}

/** The answer to a {@link ViewQuery}. */
export interface LiveView {
  readonly question: ViewQuery;
  readonly summary: Summary;
  /** The largest first. */
  readonly groups: readonly Group[];
  /** Keys of the goroutines' labels in alphabetical order, at most {@link MAX_LABEL_KEYS}. */
  readonly labelKeys: readonly string[];
  /** The goroutines of the open group by id, at most {@link MAX_MEMBERS}; null where no group is open. */
  readonly members: readonly Member[] | null;
  /** The goroutine whose stack is shown; null where none is asked for, or it has ended. */
  readonly goroutine: GoroutineWithStack | null;
  readonly warnings: readonly Warning[];
}

/** Nobody reads longer lists to their end. */
export const MAX_MEMBERS = 10_000;
const MAX_LOCATED = 1000;
const MAX_LABEL_KEYS = 32;

/** Answers a query in one pass over the goroutines. */
export function buildView(program: GoProgram, question: ViewQuery): LiveView {
  const { by, open, goid } = question;
  const grouping = by.kind === 'locks' ? new WaitedGrouping(program) : new PlainGrouping(program, by);
  const collector = new SummaryCollector(program);
  const describer = new Describer(program);
  const members: G[] = [];
  const labelKeys = new Set<string>();
  let shown: Described | null = null;
  for (const g of program.goroutines()) {
    const goroutine = describer.describe(g);
    collector.add(goroutine);
    const groups = grouping.add(goroutine, g);
    if (open !== null && members.length < MAX_MEMBERS && groups.some(({ key }) => key === open)) members.push(g);
    if (g.goid === goid) shown ??= { g, goroutine };
    if (g.labels === 0) continue;
    for (const label of Object.keys(goroutine.labels)) if (labelKeys.size < MAX_LABEL_KEYS) labelKeys.add(label);
  }
  const listed = open === null ? null : members.map((g, i) => describeMember(describer, g, i < MAX_LOCATED));
  const goroutine = shown === null ? null : describer.complete.stack(shown.g, shown.goroutine);
  const { value: summary, warnings } = collector.summary();
  return {
    ...{ question, summary, warnings, members: listed, goroutine },
    groups: grouping.groups(),
    labelKeys: [...labelKeys].sort(),
  };
}

/** Each goroutine is in one group. */
class PlainGrouping {
  readonly #grouping: Grouping;

  constructor(program: GoProgram, by: GroupBy) {
    this.#grouping = new Grouping(program, by);
  }

  add(goroutine: Goroutine, g: G): Pick<Group, 'key'>[] {
    return [this.#grouping.add(g, goroutine)];
  }

  groups(): Group[] {
    return this.#grouping.groups();
  }
}

function describeMember(describer: Describer, g: G, located: boolean): Member {
  const goroutine = describer.describe(g);
  return { ...goroutine, at: (located ? describer.user(g) : null) ?? goroutine.current };
}
