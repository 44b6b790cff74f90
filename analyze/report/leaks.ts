import type { Evidence } from '../waits/model.js';
import type { Analysis } from '../analysis.js';
import { isLeaked } from '../leaks/verdicts.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { answer, type Answer } from './answer.js';
import { Describer, GOROUTINE_READS, selectGoroutines } from './goroutines.js';
import { STACK_READS } from './locations.js';
import { LeakRoots } from './leak-roots.js';
import type { Goroutine, Loc } from './model.js';
import { StackIds } from '../stack-ids.js';
import { WAIT_READS } from './waiting.js';
import { MANY, SuspectRules } from './leak-suspects.js';

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

/** Many goroutines of one kind that are blocked on what something reaches that may still run, or a global. */
export interface AliveGroup extends Pick<
  LeakGroup,
  'count' | 'runtime' | 'goids' | 'loc' | 'entry' | 'creator' | 'waitReason' | 'ageNs'
> {
  /** From where what one of them waits on is reached first. */
  readonly evidence: readonly Evidence[];
}

/** Which goroutines of a program are leaked, or may be. */
export interface Leaks {
  /** Null where no proof was made. */
  readonly proof: 'marked' | null;
  /** What is proved first, the largest group of each kind first. */
  readonly groups: readonly LeakGroup[];
  /** What the proof found alive, if it is many: the largest group first. */
  readonly alive: readonly AliveGroup[];
}

export const leaksAnalysis: Analysis = {
  name: 'leaks',
  reads: [...GOROUTINE_READS, STACK_READS, WAIT_READS],
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
  return answer(program, { proof: finder.isProved ? 'marked' : null, groups: finder.groups(), alive: finder.alive() });
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

/** The largest group first. */
export function byCount(a: AliveGroup, b: AliveGroup): number {
  return b.count - a.count || a.runtime - b.runtime || (a.goids[0] ?? 0) - (b.goids[0] ?? 0);
}

/** Why a goroutine is looked at: it is leaked, or may be, or it is proved to be alive. */
type Finding = 'leaked' | 'leaked but deferred' | 'never' | 'suspect' | 'alive';

/** What is found out of a goroutine, and what goroutines of one group have in common besides their stack. */
interface Found {
  readonly finding: Finding;
  readonly root: string;
  readonly evidence: readonly Evidence[];
  /** The addresses of what a suspect waits on. */
  readonly awaited: readonly number[];
}

class LeakFinder {
  readonly #program: GoProgram;
  readonly #describer: Describer;
  readonly #stackIds = new StackIds();
  readonly #rules: SuspectRules;
  readonly #roots: LeakRoots;
  readonly #groups = new Map<string, OpenLeakGroup>();

  constructor(program: GoProgram) {
    this.#program = program;
    this.#describer = new Describer(program);
    this.#rules = new SuspectRules(program);
    this.#roots = new LeakRoots(program);
  }

  get isProved(): boolean {
    return this.#roots.isProved;
  }

  add(g: G, goroutine: Goroutine): void {
    const found = this.#find(g, goroutine);
    if (found === null) return;
    const { id } = this.#stackIds.of(this.#program, g);
    const { creator, waitReason } = goroutine;
    const key = [found.finding, found.root, waitReason, creator?.func, creator?.line, id].join(' ');
    let group = this.#groups.get(key);
    if (group === undefined) {
      const loc = this.#describer.user(g) ?? goroutine.entry;
      this.#groups.set(key, (group = new OpenLeakGroup(found, goroutine, loc)));
    }
    group.add(goroutine, found.finding === 'suspect' ? found.awaited : []);
  }

  groups(): LeakGroup[] {
    this.#absolve();
    return [...this.#groups.values()].flatMap((group) => group.close(this.#rules)).sort(byVerdict);
  }

  /** Takes out suspects if another goroutine refers to what they wait on. */
  #absolve(): void {
    const suspects = [...this.#groups.values()].filter((group) => group.close(this.#rules)[0]?.verdict === 'suspect');
    const awaited = new Map<number, OpenLeakGroup>();
    const groupOf = new Map<number, OpenLeakGroup>();
    for (const group of suspects) group.list(awaited, groupOf);
    const referredTo = this.#rules.referredTo(awaited, (goid) => groupOf.get(goid) ?? null);
    for (const group of suspects) group.without(referredTo);
  }

  alive(): AliveGroup[] {
    return [...this.#groups.values()].flatMap((group) => group.closeAlive()).sort(byCount);
  }

  /** null for a goroutine of which nothing is to be said. */
  #find(g: G, goroutine: Goroutine): Found | null {
    const { goid, waitReason, system, torn } = goroutine;
    if (torn) return null;
    if (waitReason === EMPTY_SELECT) return goid === MAIN ? null : NEVER;
    if (waitReason !== null && NIL_CHANNEL.test(waitReason)) return NEVER;
    const proved = this.#roots.of(g);
    if (proved !== null) {
      const { outcome, root, evidence } = proved;
      if (!isLeaked(outcome)) return system ? null : { finding: 'alive', root, evidence: [evidence], awaited: [] };
      return { finding: outcome as Finding, root, evidence: [evidence], awaited: [] };
    }
    if (this.isProved || system) return null;
    const awaited = this.#rules.awaited(g, goroutine);
    if (awaited === null) return null;
    return { finding: 'suspect', root: '', evidence: awaited.doubts, awaited: awaited.addresses };
  }
}

const NEVER: Found = {
  finding: 'never',
  root: '',
  evidence: [{ code: 'never', message: 'nothing can wake a goroutine that waits for this' }],
  awaited: [],
};

/** A group that goroutines are still added to. */
class OpenLeakGroup {
  readonly #found: Found;
  readonly #first: Goroutine;
  readonly #loc: Loc | null;
  #goids: number[] = [];
  /** By goroutine, the addresses of what a suspect waits on. */
  readonly #awaited = new Map<number, readonly number[]>();
  #ageNs: number | null = null;

  constructor(found: Found, first: Goroutine, loc: Loc | null) {
    this.#found = found;
    this.#first = first;
    this.#loc = loc;
  }

  /** `awaited` are the addresses of what a suspect waits on. */
  add({ goid, waitSinceNs }: Goroutine, awaited: readonly number[]): void {
    this.#goids.push(goid);
    if (awaited.length > 0) this.#awaited.set(goid, awaited);
    if (waitSinceNs !== null) this.#ageNs = Math.max(this.#ageNs ?? 0, waitSinceNs);
  }

  /** Adds to `awaited` what the goroutines wait on, and to `groupOf` the goroutines. */
  list(awaited: Map<number, OpenLeakGroup>, groupOf: Map<number, OpenLeakGroup>): void {
    for (const [goid, addresses] of this.#awaited) {
      groupOf.set(goid, this);
      for (const address of addresses) awaited.set(address, this);
    }
  }

  /** Takes out the goroutines that wait on one of some addresses. */
  without(alive: ReadonlySet<number>): void {
    this.#goids = this.#goids.filter((goid) => this.#awaited.get(goid)?.some((address) => alive.has(address)) !== true);
    for (const [goid, addresses] of this.#awaited) {
      if (addresses.some((address) => alive.has(address))) this.#awaited.delete(goid);
    }
  }

  /** None for goroutines that are alive, or not even suspects, as the group shows. */
  close(rules: SuspectRules): LeakGroup[] {
    const { finding, evidence: known } = this.#found;
    if (finding === 'alive') return [];
    const { creator } = this.#first;
    const awaited = new Set([...this.#awaited.values()].flat()).size;
    const shown = { count: this.#goids.length, awaited, ageNs: this.#ageNs, creator };
    const isProved = finding !== 'suspect';
    const suspicion = isProved ? [] : rules.evidence(shown);
    if (!isProved && suspicion.length === 0) return [];
    const evidence = [...suspicion, ...known];
    return [
      {
        verdict: isProved ? 'proved' : 'suspect',
        ...this.#members(),
        ...{ ratePerMinute: null, since: null },
        alsoByRuntime: isProved ? finding !== 'leaked but deferred' : null,
        evidence,
      },
    ];
  }

  /** None unless many goroutines are alive. */
  closeAlive(): AliveGroup[] {
    const { finding, evidence } = this.#found;
    return finding !== 'alive' || this.#goids.length < MANY ? [] : [{ ...this.#members(), evidence }];
  }

  #members(): Omit<AliveGroup, 'evidence'> {
    const { goid, runtime, entry, waitReason } = this.#first;
    // The runtime starts it; Go's own traceback names no creator.
    const creator = goid === MAIN ? null : this.#first.creator;
    const goids = this.#goids.sort((a, b) => a - b);
    return { count: goids.length, runtime, goids, loc: this.#loc, entry, creator, waitReason, ageNs: this.#ageNs };
  }
}
