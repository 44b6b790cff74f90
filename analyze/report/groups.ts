import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { GoroutineOrder } from '../runtime/go-runtime.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import { answer, type Answer } from './answer.js';
import { Describer, GOROUTINE_READS, selectGoroutines } from './goroutines.js';
import type { Frame, Goroutine, Loc } from './model.js';
import { LocationResolver, STACK_READS } from './locations.js';
import type { Selection } from './selection.js';
import { StackIds } from '../stack-ids.js';

/** What goroutines are grouped by. */
export type GroupBy =
  | { readonly kind: 'start' | 'caller' | 'current' | 'user' | 'app' | 'stack' | 'wait' | 'status' | 'work' }
  | { readonly kind: 'label'; readonly key: string };

/** Goroutines with something in common. */
export interface Group {
  readonly count: number;
  /** Goroutines of different runtimes are never in one group. */
  readonly runtime: number;
  /** What they have in common, in words. Equal goroutines of one program have the same key in every look at it. */
  readonly key: string;
  /** The ten lowest ids, ascending. */
  readonly goids: readonly number[];
  readonly status: Readonly<Partial<Record<GoroutineStatus, number>>>;
  /** null where they differ. */
  readonly waitReason: string | null;
  /** Of the goroutines whose wait is known; null if none is. */
  readonly minWaitNs: number | null;
  readonly maxWaitNs: number | null;
  /** Present in groups by a place. */
  readonly loc?: Loc | null;
  /** Present in groups by stack. */
  readonly frames?: readonly Frame[];
  /** What to show in place of the key, where it is more than that. */
  readonly text?: string;
}

const SHOWN_GOIDS = 10;
const NONE = '(none)';

const KINDS = ['start', 'caller', 'current', 'user', 'app', 'stack', 'wait', 'status'] as const;

/** The goroutines grouped in every way but by labels, and by work, for which nothing is read that others do not read. */
export const groupsAnalysis: Analysis = {
  name: 'groups',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: (program) =>
    answer(
      program,
      KINDS.map((kind) => ({ kind, groups: groupGoroutines(program, { kind }).value })),
    ),
};

/** Groups the selected goroutines, the largest group first. */
export function groupGoroutines(program: GoProgram, by: GroupBy, selection: Selection = {}): Answer<Group[]> {
  const grouping = new Grouping(program, by);
  const group = (order: GoroutineOrder): void => {
    for (const { g, goroutine } of selectGoroutines(program, new Describer(program), selection, order)) {
      grouping.add(g, goroutine);
    }
  };
  if (by.kind === 'stack') program.listWarningsByGoid(() => group('stack'));
  else group('goid');
  return answer(program, grouping.groups());
}

/** Puts goroutines into groups, one at a time. */
export class Grouping {
  readonly #keys: Keys;
  readonly #runtime: number;
  readonly #groups = new Map<string, OpenGroup>();

  constructor(program: GoProgram, by: GroupBy) {
    this.#keys = new Keys(program, by);
    this.#runtime = program.runtime.n;
  }

  /** Adds a goroutine and returns its group. */
  add(g: G, goroutine: Goroutine): Pick<Group, 'key'> {
    const { id, describe } = this.#keys.of(g, goroutine);
    let group = this.#groups.get(id);
    if (group === undefined) this.#groups.set(id, (group = new OpenGroup()));
    group.add(goroutine, describe);
    return group;
  }

  /** The groups so far, the largest first. */
  groups(): Group[] {
    return [...this.#groups.values()].map((group) => group.close(this.#runtime)).sort(bySize);
  }
}

/** The order of groups. */
export function bySize(a: Group, b: Group): number {
  return b.count - a.count || a.runtime - b.runtime || (a.goids[0] ?? 0) - (b.goids[0] ?? 0);
}

/** What the goroutines of a group have in common. */
type Common = Pick<Group, 'key' | 'loc' | 'frames' | 'text'>;

/** A group that goroutines are still added to. */
export class OpenGroup {
  /** What the goroutines have in common, as that of the lowest id shows it. */
  #common: Common | null = null;
  #describe: () => Common = () => ({ key: NONE });
  #lowest = Infinity;
  readonly #goids: number[] = [];
  /** By status: how many, and the lowest id. */
  readonly #statuses = new Map<GoroutineStatus, { count: number; lowest: number }>();
  readonly #reasons = new Set<string | null>();
  #count = 0;
  #minWaitNs: number | null = null;
  #maxWaitNs: number | null = null;

  get key(): string {
    return this.common.key;
  }

  get common(): Common {
    return (this.#common ??= this.#describe());
  }

  /** `describe` is called for the goroutine with the lowest id. */
  add({ goid, status, waitReason, waitSinceNs }: Goroutine, describe: () => Common): void {
    this.#count++;
    if (goid < this.#lowest) {
      this.#lowest = goid;
      this.#describe = describe;
      this.#common = null;
    }
    this.#goids.push(goid);
    if (this.#goids.length > 100 * SHOWN_GOIDS) this.#trim();
    const counted = this.#statuses.get(status);
    if (counted === undefined) this.#statuses.set(status, { count: 1, lowest: goid });
    else {
      counted.count++;
      if (goid < counted.lowest) counted.lowest = goid;
    }
    this.#reasons.add(waitReason);
    if (waitSinceNs === null) return;
    this.#minWaitNs = Math.min(this.#minWaitNs ?? Infinity, waitSinceNs);
    this.#maxWaitNs = Math.max(this.#maxWaitNs ?? 0, waitSinceNs);
  }

  close(runtime: number): Group {
    this.#trim();
    const [reason] = this.#reasons;
    const { key, loc, frames, text } = this.common;
    return {
      count: this.#count,
      runtime,
      key,
      goids: this.#goids,
      status: this.#countsByStatus(),
      waitReason: this.#reasons.size === 1 ? (reason ?? null) : null,
      minWaitNs: this.#minWaitNs,
      maxWaitNs: this.#maxWaitNs,
      ...(loc === undefined ? {} : { loc }),
      ...(frames === undefined ? {} : { frames }),
      ...(text === undefined ? {} : { text }),
    };
  }

  /** In the order of the lowest ids. */
  #countsByStatus(): Group['status'] {
    const statuses = [...this.#statuses].sort(([, a], [, b]) => a.lowest - b.lowest);
    return Object.fromEntries(statuses.map(([status, { count }]) => [status, count]));
  }

  #trim(): void {
    this.#goids.sort((a, b) => a - b).splice(SHOWN_GOIDS);
  }
}

/** The group that a goroutine belongs to. */
interface GroupRef {
  /** Tells groups apart; cheaper to make than the key. */
  readonly id: string;
  /** Called for the goroutine of a group with the lowest id. */
  readonly describe: () => Common;
}

/** Finds the group that a goroutine belongs to. */
class Keys {
  readonly #program: GoProgram;
  readonly #by: GroupBy;
  readonly #locations: LocationResolver;
  readonly #describer: Describer;
  readonly #stackIds = new StackIds();
  /** The groups of places: the resolver returns the same object for equal addresses. */
  readonly #places = new WeakMap<Loc, GroupRef>();

  constructor(program: GoProgram, by: GroupBy) {
    this.#program = program;
    this.#by = by;
    this.#locations = new LocationResolver(program);
    this.#describer = new Describer(program);
  }

  of(g: G, goroutine: Goroutine): GroupRef {
    switch (this.#by.kind) {
      case 'stack':
        return this.#stack(g, goroutine);
      case 'wait':
        return byWords(goroutine.waitReason ?? goroutine.status);
      case 'status':
        return byWords(goroutine.status);
      case 'label':
        return byWords(goroutine.labels[this.#by.key] ?? NONE);
      case 'start':
        return this.#place(goroutine.entry);
      case 'caller':
        return this.#place(goroutine.creator);
      case 'current':
        return this.#place(goroutine.current);
      case 'user':
        return this.#place(this.#describer.user(g));
      case 'app':
        return this.#place(this.#describer.app(g));
      case 'work': {
        const [first] = this.#describer.workOf(g);
        return byWords(first === undefined ? NONE : `${first.kind}: ${first.group}`);
      }
    }
  }

  #place(loc: Loc | null): GroupRef {
    if (loc === null) return NOWHERE;
    let ref = this.#places.get(loc);
    if (ref === undefined) {
      const key = `${loc.func} (${loc.file}:${loc.line})`;
      this.#places.set(loc, (ref = { id: key, describe: () => ({ key, loc }) }));
    }
    return ref;
  }

  #stack(g: G, goroutine: Goroutine): GroupRef {
    const { id, stack } = this.#stackIds.of(this.#program, g);
    const describe = (): Common => {
      const shown = this.#locations.frames((stack ?? this.#program.stackOf(g)).frames);
      const top = goroutine.entry?.func ?? shown.at(-1)?.func ?? NONE;
      return { key: shown.map(({ func, file, line }) => `${func} ${file}:${line}`).join('\n') || top, frames: shown };
    };
    return { id, describe };
  }
}

function byWords(words: string): GroupRef {
  return { id: words, describe: () => ({ key: words }) };
}

const NOWHERE: GroupRef = { id: NONE, describe: () => ({ key: NONE, loc: null }) };

/** Returns the key of a goroutine's group by function names alone: files and lines change from build to build. */
export function nameKey(program: GoProgram, by: GroupBy): (g: G, goroutine: Goroutine) => string {
  const keys = new Keys(program, by);
  const names = new Map<string, string>();
  return (g, goroutine) => {
    const { id, describe } = keys.of(g, goroutine);
    let name = names.get(id);
    if (name === undefined) names.set(id, (name = nameOf(describe())));
    return name;
  };
}

function nameOf({ key, loc, frames }: Common): string {
  if (frames !== undefined && frames.length > 0) return frames.map(({ func }) => func).join('\n');
  return loc === undefined || loc === null ? key : loc.func;
}
