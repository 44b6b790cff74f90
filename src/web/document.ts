import type { Summary, ThreadReport } from '../../analyze/report/model.js';
import type { AliveGroup, LeakGroup, Leaks } from '../../analyze/report/leaks.js';
import type { OwnEnds, WaitCycle, WaitedThing, WaitRoot } from '../../analyze/report/wait-documents.js';
import type { Relation } from '../../analyze/report/relation.js';
import type { GoroutineStatus } from '../../analyze/runtime/goroutine.js';
import type { Strength } from '../../analyze/waits/model.js';
import type { Warning } from '../../analyze/warnings.js';

/**
 * What the page shows: one capture, or two to compare. It comes as JSON. Texts, places and stacks that many goroutines have
 * stand once, and are referred to by their numbers; -1 stands for none.
 */
export interface PageDocument {
  readonly schema: 'gospy.page/1';
  /** The version of gospy that wrote it. */
  readonly writer: string;
  readonly strings: readonly string[];
  /** Places: the numbers of the function and the file, and the line. */
  readonly locs: readonly (readonly [func: number, file: number, line: number])[];
  readonly stacks: readonly PageStack[];
  /** The only capture, or the later of two. */
  readonly capture: PageCapture;
  /** null where there is only one, as is {@link changes}. */
  readonly earlier: PageCapture | null;
  readonly changes: PageChanges | null;
}

/** Goroutines have the same stack if a reader sees the same lines. */
export interface PageStack {
  /** Innermost first: twice the number of the place, and one more for an inlined call. */
  readonly frames: readonly number[];
  /** Why it ends early: the number of a text. */
  readonly truncated: number;
  /** The innermost place outside the runtime. */
  readonly user: number;
}

export interface PageCapture {
  /** The name of the file, or of the process. */
  readonly name: string;
  readonly summary: Summary;
  readonly warnings: readonly Warning[];
  readonly threads: readonly PageThread[];
  readonly goroutines: PageGoroutines;
  /** The labels of goroutines: numbers of texts, a name and its value in turn. */
  readonly labelSets: readonly (readonly number[])[];
  /** What goroutines work on: numbers of texts, one for each thing. */
  readonly workSets: readonly (readonly number[])[];
  readonly waits: PageWaits;
  readonly leaks: Pick<Leaks, 'proof'> & { readonly groups: readonly PageLeak[]; readonly alive: readonly PageAlive[] };
}

/** A thread; its frames are numbers as in {@link PageStack}. */
export interface PageThread extends Omit<ThreadReport, 'frames'> {
  readonly frames: readonly number[];
}

/** A group of leaked goroutines; its places are numbers. */
export interface PageLeak extends Omit<LeakGroup, 'loc' | 'entry' | 'creator'> {
  readonly loc: number;
  readonly entry: number;
  readonly creator: number;
}

/** Many goroutines that something can still wake. */
export interface PageAlive extends Omit<AliveGroup, 'loc' | 'entry' | 'creator'> {
  readonly loc: number;
  readonly entry: number;
  readonly creator: number;
}

/** The goroutines, field by field: those of one runtime after another, by id. */
export interface PageGoroutines {
  readonly goid: readonly number[];
  readonly runtime: readonly number[];
  /** Numbers of texts. */
  readonly status: readonly number[];
  readonly waitReason: readonly number[];
  /** Nanoseconds, or -1. */
  readonly waitSinceNs: readonly number[];
  /** Places. */
  readonly entry: readonly number[];
  readonly creator: readonly number[];
  readonly current: readonly number[];
  readonly stack: readonly number[];
  /** What each waits on, in words: a number of a text. */
  readonly waitsOn: readonly number[];
  /** What each works on: a number of one of {@link PageCapture.workSets}. */
  readonly work: readonly number[];
  readonly labels: readonly number[];
  /** 0 where it is not known. */
  readonly parentGoid: readonly number[];
  /** A sum of {@link FLAGS}. */
  readonly flags: readonly number[];
  /** Of those that a thread runs: the row, the id of the M, and that of the thread. */
  readonly threads: readonly (readonly [row: number, m: number, tid: number])[];
}

/** What is true of a goroutine. */
export const FLAGS = { system: 1, lockedToThread: 2, torn: 4 } as const;

/** Who waits for whom. The lists may be cut: `...More` says how many are left out. */
export interface PageWaits {
  readonly cycles: readonly WaitCycle[];
  readonly cyclesMore: number;
  readonly things: readonly WaitedThing[];
  readonly thingsMore: number;
  readonly chains: readonly WaitRoot[];
  readonly chainsMore: number;
  readonly ends: OwnEnds;
  readonly graph: PageWaitGraph;
}

/** The waits that concern most goroutines, as a graph. */
export interface PageWaitGraph {
  readonly edges: readonly PageWaitEdge[];
  readonly more: number;
}

/** Goroutines that wait for one other over one thing. */
export interface PageWaitEdge {
  readonly runtime: number;
  /** The first of those that wait. */
  readonly from: readonly number[];
  /** How many wait. */
  readonly count: number;
  readonly to: number;
  readonly addr: string | null;
  readonly strength: Strength;
  /** Why `to` is named. */
  readonly message: string;
  /** Whether it is part of a deadlock. */
  readonly inCycle: boolean;
}

/** What changed between the two captures. */
export interface PageChanges {
  readonly relation: Relation;
  /** null between two processes. */
  readonly lists: Readonly<Record<'started' | 'ended' | 'moved', PageChangeList>> | null;
  readonly returned: number;
  readonly parked: number;
  /** How many times Ps scheduled a goroutine in between; null between two processes. */
  readonly schedtick: number | null;
}

export interface PageChangeList {
  readonly length: number;
  /** The first ones. */
  readonly shown: readonly PageChange[];
}

/** A goroutine that started, ended or moved. */
export interface PageChange {
  readonly goid: number;
  readonly runtime: number;
  readonly entry: number;
  readonly before: PageState | null;
  readonly after: PageState | null;
}

/** What a goroutine did, and at which place. */
export interface PageState {
  readonly status: GoroutineStatus;
  readonly waitReason: string | null;
  readonly at: number;
}
