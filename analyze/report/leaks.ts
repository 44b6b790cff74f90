import { indexOfG, OUTCOMES, type Outcome } from '../../snapshots/leak-proof.js';
import type { Evidence } from '../waits/model.js';
import type { Analysis } from '../analysis.js';
import { isLeaked } from '../leaks/verdicts.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { answer, type Answer } from './answer.js';
import { Describer, GOROUTINE_READS, selectGoroutines } from './goroutines.js';
import { STACK_READS } from './locations.js';
import type { Goroutine, Loc } from './model.js';
import { StackIds } from './stack-ids.js';
import { SuspectRules } from './leak-suspects.js';

/** Goroutines of one kind that are leaked, or may be. */
export interface LeakGroup {
  /** `proved`: nothing can ever wake them. `suspect`: no more than a suspicion. `growing`: they only became more. */
  readonly verdict: 'proved' | 'suspect' | 'growing';
  readonly count: number;
  readonly runtime: number;
  /** Ascending. */
  readonly goids: readonly number[];
  /** The innermost place outside the runtime, else the goroutine's function; null where neither is known. */
  readonly loc: Loc | null;
  /** The function that they were started with. */
  readonly entry: Loc | null;
  readonly creator: Loc | null;
  readonly waitReason: string | null;
  /** For how long one of them has waited at most, a lower bound; null where the runtime has not stamped any. */
  readonly ageNs: number | null;
  /** Between several captures; null where there is one. */
  readonly ratePerMinute: number | null;
  /** The last capture before they became more, as ISO 8601; null where that is not known. */
  readonly since: string | null;
  /** Whether Go's own leak profile would name them too; null where they are not proved. */
  readonly alsoByRuntime: boolean | null;
  /** At least one. */
  readonly evidence: readonly Evidence[];
}

/** Which goroutines of a program are leaked, or may be. */
export interface Leaks {
  /** Null where the capture took no proof. */
  readonly proof: 'marked' | null;
  /** What is proved first, the largest group of each kind first. */
  readonly groups: readonly LeakGroup[];
}

export const leaksAnalysis: Analysis = {
  name: 'leaks',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: findLeaks,
};

/** The main goroutine may wait in `select {}` on purpose: the runtime does not call it leaked either (mgc.go, 1.27). */
const MAIN = 1;
const EMPTY_SELECT = 'select (no cases)';
/** Reasons of goroutines that nothing can ever wake. */
const NIL_CHANNEL = /^chan (receive|send) \(nil chan\)$/;

/** Finds the leaked goroutines of a program and, where the capture took no proof, those that may be. */
export function findLeaks(program: GoProgram): Answer<Leaks> {
  const finder = new LeakFinder(program);
  program.listWarningsByGoid(() => {
    for (const { g, goroutine } of selectGoroutines(program, new Describer(program), {}, 'stack'))
      finder.add(g, goroutine);
  });
  const proof = (program.image.leaks ?? null) === null ? null : 'marked';
  return answer(program, { proof, groups: finder.groups() });
}

/** The order of groups: what is proved first, the largest first. */
export function byVerdict(a: LeakGroup, b: LeakGroup): number {
  return (
    VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) ||
    b.count - a.count ||
    a.runtime - b.runtime ||
    (a.goids[0] ?? 0) - (b.goids[0] ?? 0)
  );
}

const VERDICTS: readonly LeakGroup['verdict'][] = ['proved', 'growing', 'suspect'];

/** Why a goroutine is looked at: it is leaked, or may be. */
type Finding = 'leaked' | 'leaked but deferred' | 'never' | 'suspect';

class LeakFinder {
  readonly #program: GoProgram;
  readonly #describer: Describer;
  readonly #stackIds = new StackIds();
  readonly #rules: SuspectRules;
  readonly #groups = new Map<string, OpenLeakGroup>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#describer = new Describer(program);
    this.#rules = new SuspectRules(program);
  }

  add(g: G, goroutine: Goroutine): void {
    const finding = this.#findingOf(g, goroutine);
    if (finding === null) return;
    const { id } = this.#stackIds.of(this.#program, g);
    const { creator, waitReason } = goroutine;
    const key = [finding, waitReason, creator?.func, creator?.line, id].join(' ');
    let group = this.#groups.get(key);
    if (group === undefined) {
      const loc = this.#describer.user(g) ?? goroutine.entry;
      this.#groups.set(key, (group = new OpenLeakGroup(finding, goroutine, loc)));
    }
    group.add(goroutine, finding === 'suspect' ? this.#rules.awaited(g) : []);
  }

  groups(): LeakGroup[] {
    return [...this.#groups.values()].flatMap((group) => group.close(this.#rules)).sort(byVerdict);
  }

  /** null for a goroutine that is not leaked, as far as is known. */
  #findingOf(g: G, { goid, waitReason, system, torn }: Goroutine): Finding | null {
    if (torn) return null;
    if (waitReason === EMPTY_SELECT) return goid === MAIN ? null : 'never';
    if (waitReason !== null && NIL_CHANNEL.test(waitReason)) return 'never';
    const outcome = this.#outcomeOf(g);
    if (outcome !== null) return isLeaked(outcome) ? (outcome as Finding) : null;
    const isProved = (this.#program.image.leaks ?? null) !== null;
    return !isProved && !system && this.#rules.mayBeLeaked(g, waitReason) ? 'suspect' : null;
  }

  #outcomeOf({ addr }: G): Outcome | null {
    const proof = this.#program.image.leaks ?? null;
    const i = proof === null ? -1 : indexOfG(proof, addr);
    return proof === null || i < 0 ? null : (OUTCOMES[proof.outcomes[i] ?? 0] ?? null);
  }
}

/** A group that goroutines are still added to. */
class OpenLeakGroup {
  readonly #finding: Finding;
  readonly #first: Goroutine;
  readonly #loc: Loc | null;
  readonly #goids: number[] = [];
  readonly #awaited = new Set<number>();
  #ageNs: number | null = null;

  constructor(finding: Finding, first: Goroutine, loc: Loc | null) {
    this.#finding = finding;
    this.#first = first;
    this.#loc = loc;
  }

  /** `awaited` are the addresses of what a suspect waits on. */
  add({ goid, waitSinceNs }: Goroutine, awaited: readonly number[]): void {
    this.#goids.push(goid);
    for (const address of awaited) this.#awaited.add(address);
    if (waitSinceNs !== null) this.#ageNs = Math.max(this.#ageNs ?? 0, waitSinceNs);
  }

  /** None for goroutines that are not even suspects, as the group shows. */
  close(rules: SuspectRules): LeakGroup[] {
    const finding = this.#finding;
    const { runtime, entry, creator, waitReason } = this.#first;
    const count = this.#goids.length;
    const shown = { count, awaited: this.#awaited.size, ageNs: this.#ageNs, entry, creator };
    const evidence = finding === 'suspect' ? rules.evidence(shown) : [PROOFS[finding]];
    if (evidence.length === 0) return [];
    const isProved = finding !== 'suspect';
    return [
      {
        verdict: isProved ? 'proved' : 'suspect',
        ...{ count, runtime, goids: this.#goids.sort((a, b) => a - b), loc: this.#loc, entry, creator, waitReason },
        ...{ ageNs: this.#ageNs, ratePerMinute: null, since: null },
        alsoByRuntime: isProved ? finding !== 'leaked but deferred' : null,
        evidence,
      },
    ];
  }
}

const PROOFS: Readonly<Record<Exclude<Finding, 'suspect'>, Evidence>> = {
  leaked: { code: 'unreachable', message: 'nothing that can run reaches what it waits on' },
  'leaked but deferred': {
    code: 'deferred-only',
    message: "nothing reaches what it waits on but deferred calls of its own, so Go's own profile does not name it",
  },
  never: { code: 'never', message: 'nothing can wake a goroutine that waits for this' },
};
