import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { isLeaked } from '../leaks/verdicts.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { Evidence } from '../waits/model.js';
import { Describer } from './goroutines.js';
import { LeakRoots } from './leak-roots.js';
import { ageText } from './leak-suspects.js';
import { byVerdict, type LeakGroup } from './leaks.js';
import type { Goroutine, Loc } from './model.js';
import { StackIds } from '../stack-ids.js';

/** A group has grown if it is larger by so many, and by this share of what it was at first. */
const MIN_GROWTH = 10;
const MIN_SHARE = 0.1;
const MINUTE_NS = 60e9;

/** Goroutines of one kind in several captures. */
interface History {
  /** How many there were in each capture, in the order in which these were added. */
  readonly counts: number[];
  last: Members | null;
}

/** The goroutines of a group in the last capture. */
interface Members {
  readonly goids: number[];
  readonly loc: Loc | null;
  readonly first: Goroutine;
  /** From where what the first one waits on is reached, if that was proved. */
  readonly reached: Evidence | null;
  ageNs: number | null;
}

/**
 * Follows groups of goroutines through captures of one process, which are added in any order. A group has the
 * function, the go statement and the place in common, by name and line. Of each capture only how many there are is kept, and of the
 * latest one the ids.
 */
export class GrowthFinder {
  readonly #histories = new Map<string, History>();
  readonly #times: { readonly ns: number; readonly at: string | null }[] = [];

  /** Adds a capture. Returns whether it is the latest so far. */
  add(programs: readonly GoProgram[]): boolean {
    const capture = programs[0]?.image.capture;
    const ns = Number(capture?.monotonicNs ?? 0n);
    const isLatest = this.#times.every((other) => other.ns <= ns);
    this.#times.push({ ns, at: capture?.capturedAt ?? null });
    for (const history of this.#histories.values()) {
      history.counts.push(0);
      if (isLatest) history.last = null;
    }
    for (const program of programs) this.#count(program, isLatest);
    return isLatest;
  }

  #count(program: GoProgram, isLatest: boolean): void {
    const describer = new Describer(program);
    const stackIds = new StackIds();
    const places = new Map<string, Loc | null>();
    const roots = new LeakRoots(program);
    const reachedFrom = (g: G): Evidence | null => {
      const proved = roots.of(g);
      return proved === null || isLeaked(proved.outcome) ? null : proved.evidence;
    };
    program.listWarningsByGoid(() => {
      for (const g of program.goroutines('stack')) {
        const goroutine = describer.describe(g);
        if (goroutine.system || goroutine.status === 'dead') continue;
        const { id } = stackIds.of(program, g);
        let loc = places.get(id);
        if (loc === undefined) places.set(id, (loc = describer.user(g)));
        this.#join(goroutine, loc, isLatest, () => reachedFrom(g));
      }
    });
  }

  #join(goroutine: Goroutine, loc: Loc | null, isLatest: boolean, reached: () => Evidence | null): void {
    const { runtime, entry, creator, status, waitReason, goid, waitSinceNs } = goroutine;
    const places = [entry, creator, loc].map((place) => `${place?.func ?? ''}:${place?.line ?? 0}`);
    const key = [runtime, waitReason ?? status, ...places].join(' ');
    let history = this.#histories.get(key);
    if (history === undefined) {
      history = { counts: new Array<number>(this.#times.length).fill(0), last: null };
      this.#histories.set(key, history);
    }
    const now = this.#times.length - 1;
    history.counts[now] = (history.counts[now] ?? 0) + 1;
    if (!isLatest) return;
    history.last ??= { goids: [], loc: loc ?? entry, first: goroutine, reached: reached(), ageNs: null };
    history.last.goids.push(goid);
    if (waitSinceNs !== null) history.last.ageNs = Math.max(history.last.ageNs ?? 0, waitSinceNs);
  }

  /** The groups that only became larger, the largest first. */
  groups(): LeakGroup[] {
    return [...this.#histories.values()].flatMap((history) => this.#growing(history)).sort(byVerdict);
  }

  /**
   * `found` with the groups that grew: a group that is proved, or a suspect, gets its rate; the others follow as growing ones.
   */
  join(found: readonly LeakGroup[]): LeakGroup[] {
    const growing = this.groups();
    const ofMember = new Map(
      growing.flatMap((group) => group.goids.map((goid) => [keyOf(group.runtime, goid), group])),
    );
    const known = new Set<LeakGroup>();
    const rated = found.map((group) => {
      const growth = ofMember.get(keyOf(group.runtime, group.goids[0] ?? 0));
      if (growth === undefined) return group;
      known.add(growth);
      const { ratePerMinute, since } = growth;
      return { ...group, ratePerMinute, since, evidence: [...group.evidence, ...growth.evidence] };
    });
    return [...rated, ...growing.filter((group) => !known.has(group))].sort(byVerdict);
  }

  #growing({ counts: added, last }: History): LeakGroup[] {
    const order = ascendingOrder(Float64Array.from(this.#times, ({ ns }) => ns));
    const counts = Array.from(order, (i) => added[i] ?? 0);
    const [first = 0] = counts;
    const count = counts.at(-1) ?? 0;
    if (last === null || counts.some((n, i) => n < (counts[i - 1] ?? 0))) return [];
    if (count - first < Math.max(MIN_GROWTH, MIN_SHARE * first)) return [];
    // Before it became more for the first time.
    const begun = counts.findLastIndex((n) => n === first);
    const steps = counts.filter((n, i) => i > 0 && n > (counts[i - 1] ?? 0)).length;
    if (2 * steps < counts.length - 1 - begun) return [];
    const [from, to] = [this.#times[order[begun] ?? 0], this.#times[order.at(-1) ?? 0]];
    const minutes = ((to?.ns ?? 0) - (from?.ns ?? 0)) / MINUTE_NS;
    const { runtime, entry, creator, waitReason } = last.first;
    const message =
      `${first} became ${count} over ${counts.length} captures and never less` +
      (minutes > 0 ? `, in ${ageText(minutes * MINUTE_NS)}` : '');
    return [
      {
        verdict: 'growing',
        ...{ count, runtime, goids: last.goids.sort((a, b) => a - b), loc: last.loc, entry, creator, waitReason },
        ageNs: last.ageNs,
        ratePerMinute: minutes > 0 ? (count - first) / minutes : null,
        since: from?.at ?? null,
        alsoByRuntime: null,
        evidence: [{ code: 'only-grew', message }, ...(last.reached === null ? [] : [last.reached])],
      },
    ];
  }
}

function keyOf(runtime: number, goid: number): string {
  return `${runtime} ${goid}`;
}
