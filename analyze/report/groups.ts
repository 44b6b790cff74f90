import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { describeGoroutines } from './goroutines.js';
import type { Frame, Goroutine, Loc } from './model.js';
import { LocationResolver } from './locations.js';
import { needsFrames, selects, type Selection } from './selection.js';

/** What goroutines are grouped by. */
export type GroupBy =
  | { readonly kind: 'start' | 'caller' | 'current' | 'user' | 'stack' | 'wait' | 'status' }
  | { readonly kind: 'label'; readonly key: string };

/** Goroutines that have something in common. */
export interface Group {
  readonly count: number;
  /** What they have in common, in words; the same for the same program and kind. */
  readonly key: string;
  /** The first ten, ascending. */
  readonly goids: readonly number[];
  readonly status: Readonly<Partial<Record<GoroutineStatus, number>>>;
  /** The one that all have, or null. */
  readonly waitReason: string | null;
  /** Of those whose wait is known; null where none is. */
  readonly minWaitNs: number | null;
  readonly maxWaitNs: number | null;
  /** For groups by a place. */
  readonly loc?: Loc | null;
  /** For groups by stack. */
  readonly frames?: readonly Frame[];
}

const SHOWN_GOIDS = 10;
const NONE = '(none)';

/** Groups the selected goroutines, the largest group first. */
export function groupGoroutines(program: GoProgram, by: GroupBy, selection: Selection): Group[] {
  const grouping = new Grouping(program, by);
  const wanted = selects(selection);
  const detail = { frames: needsFrames(selection), user: by.kind === 'user' };
  for (const { g, goroutine } of describeGoroutines(program, detail)) {
    if (wanted(goroutine)) grouping.add(g, goroutine);
  }
  return grouping.groups();
}

/** Puts goroutines into groups, one at a time. */
export class Grouping {
  readonly #keys: Keys;
  readonly #groups = new Map<string, OpenGroup>();

  constructor(program: GoProgram, by: GroupBy) {
    this.#keys = new Keys(program, by);
  }

  /** Answers the key of the group that the goroutine went to. */
  add(g: G, goroutine: Goroutine): string {
    const { key, extra } = this.#keys.of(g, goroutine);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new OpenGroup(extra());
      this.#groups.set(key, group);
    }
    group.add(goroutine);
    return group.key;
  }

  /** The largest group first. */
  groups(): Group[] {
    return [...this.#groups.values()]
      .map((group) => group.close())
      .sort((a, b) => b.count - a.count || (a.goids[0] ?? 0) - (b.goids[0] ?? 0));
  }
}

interface Common {
  readonly key: string;
  readonly loc?: Loc | null;
  readonly frames?: readonly Frame[];
}

class OpenGroup {
  readonly #common: Common;
  readonly #goids: number[] = [];
  readonly #status: Partial<Record<GoroutineStatus, number>> = {};
  readonly #reasons = new Set<string | null>();
  #count = 0;
  #minWaitNs: number | null = null;
  #maxWaitNs: number | null = null;

  constructor(common: Common) {
    this.#common = common;
  }

  get key(): string {
    return this.#common.key;
  }

  add({ goid, status, waitReason, waitSinceNs }: Goroutine): void {
    this.#count++;
    this.#goids.push(goid);
    if (this.#goids.length > 100 * SHOWN_GOIDS) this.#trim();
    this.#status[status] = (this.#status[status] ?? 0) + 1;
    this.#reasons.add(waitReason);
    if (waitSinceNs === null) return;
    this.#minWaitNs = Math.min(this.#minWaitNs ?? Infinity, waitSinceNs);
    this.#maxWaitNs = Math.max(this.#maxWaitNs ?? 0, waitSinceNs);
  }

  close(): Group {
    this.#trim();
    const [reason] = this.#reasons;
    return {
      count: this.#count,
      key: this.#common.key,
      goids: this.#goids,
      status: this.#status,
      waitReason: this.#reasons.size === 1 ? (reason ?? null) : null,
      minWaitNs: this.#minWaitNs,
      maxWaitNs: this.#maxWaitNs,
      ...(this.#common.loc === undefined ? {} : { loc: this.#common.loc }),
      ...(this.#common.frames === undefined ? {} : { frames: this.#common.frames }),
    };
  }

  #trim(): void {
    this.#goids.sort((a, b) => a - b).splice(SHOWN_GOIDS);
  }
}

interface Keyed {
  readonly key: string;
  readonly extra: () => Common;
}

/** What puts a goroutine into its group. */
class Keys {
  readonly #program: GoProgram;
  readonly #by: GroupBy;
  readonly #places: LocationResolver;
  /** Equal lines of a stack have equal numbers, whatever their pcs. */
  readonly #lineNumbers = new Map<string, number>();
  readonly #lineNumberAt: readonly Map<number, number>[] = [new Map(), new Map()];

  constructor(program: GoProgram, by: GroupBy) {
    this.#program = program;
    this.#by = by;
    this.#places = new LocationResolver(program);
  }

  of(g: G, goroutine: Goroutine): Keyed {
    switch (this.#by.kind) {
      case 'stack':
        return this.#stack(g, goroutine);
      case 'wait':
        return worded(goroutine.waitReason ?? goroutine.status);
      case 'status':
        return worded(goroutine.status);
      case 'label':
        return worded(goroutine.labels[this.#by.key] ?? NONE);
      case 'start':
        return placed(goroutine.entry);
      case 'caller':
        return placed(goroutine.creator);
      case 'current':
        return placed(goroutine.current);
      case 'user':
        return placed(goroutine.user);
    }
  }

  #stack(g: G, goroutine: Goroutine): Keyed {
    const { frames, truncated } = this.#program.stackOf(g);
    const key = `${frames.map((frame) => this.#lineNumber(frame)).join()}${truncated === null ? '' : '!'}`;
    const extra = (): Common => {
      const shown = this.#places.frames(frames);
      const top = goroutine.entry?.func ?? shown.at(-1)?.func ?? NONE;
      return { key: shown.map(({ func, file, line }) => `${func} ${file}:${line}`).join('\n') || top, frames: shown };
    };
    return { key, extra };
  }

  #lineNumber({ point, pc, trap }: PhysicalFrame): number {
    const known = this.#lineNumberAt[trap ? 1 : 0];
    let number = known?.get(pc);
    if (number === undefined) {
      const text = point
        .lines(trap)
        .map(({ name, file, line }) => `${name} ${file}:${line}`)
        .join('\n');
      number = this.#lineNumbers.get(text) ?? this.#lineNumbers.size;
      this.#lineNumbers.set(text, number);
      known?.set(pc, number);
    }
    return number;
  }
}

function worded(words: string): Keyed {
  return { key: words, extra: () => ({ key: words }) };
}

function placed(loc: Loc | null): Keyed {
  const key = loc === null ? NONE : `${loc.func} (${loc.file}:${loc.line})`;
  return { key, extra: () => ({ key, loc }) };
}

/** What puts a goroutine into its group by names alone: lines and files change from build to build. */
export function nameKey(program: GoProgram, by: GroupBy): (g: G, goroutine: Goroutine) => string {
  const keys = new Keys(program, by);
  const names = new Map<string, string>();
  return (g, goroutine) => {
    const { key, extra } = keys.of(g, goroutine);
    let name = names.get(key);
    if (name === undefined) names.set(key, (name = nameOf(extra())));
    return name;
  };
}

function nameOf({ key, loc, frames }: Common): string {
  if (frames !== undefined && frames.length > 0) return frames.map(({ func }) => func).join('\n');
  return loc === undefined || loc === null ? key : loc.func;
}
