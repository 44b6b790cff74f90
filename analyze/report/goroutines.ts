import { onFault } from '../../snapshots/memory.js';
import type { Work } from '../../snapshots/work.js';
import type { Analysis, Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { AncestorInfo } from '../runtime/ancestors.js';
import type { GoroutineOrder } from '../runtime/go-runtime.js';
import type { G } from '../runtime/goroutine.js';
import type { M } from '../runtime/machine.js';
import { isBlocked } from '../runtime/wait-records.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { WaitsOn } from '../waits/model.js';
import { WaitsOnReader } from '../waits/waits-on.js';
import { answer, StreamedAnswer } from './answer.js';
import { LocationResolver, PLACE_READS, STACK_READS } from './locations.js';
import type {
  Goroutine,
  GoroutineWithStack,
  Loc,
  PlacedGoroutine,
  Traceback,
  WorkingGoroutine,
  WorkItem,
} from './model.js';
import { isRuntime } from './runtime-code.js';
import { describeWait, WAIT_READS } from './waiting.js';
import { describeWork, WorkingOn } from './working-on.js';
import { compareBy, matcher, type Selection, type Sort } from './selection.js';

/** Numbers of wait reasons that are tried: no release has as many (1.27 has about 45). */
const WAIT_REASONS = 64;

/** The runtime's words for wait reasons. */
const WAIT_REASON_READS: Reads = {
  fixed: [
    ({ waitReasons }) => {
      for (let reason = 1; reason < WAIT_REASONS; reason++) waitReasons.at(reason);
    },
  ],
};

const LABEL_READS: Reads = {
  pointed: { field: 'labels', read: ({ labelReader }, at) => labelReader.read(at) },
};

const ANCESTOR_READS: Reads = {
  pointed: { field: 'ancestors', read: ({ ancestorReader }, at) => ancestorReader.read(at) },
  goroutine: (program) => {
    const locations = new LocationResolver(program);
    return {
      read: ({ ancestors }) => {
        if (ancestors !== 0) program.ancestorReader.read(ancestors).forEach((ancestor) => locations.ancestor(ancestor));
      },
    };
  },
};

/** What a goroutine without its stack takes. */
export const GOROUTINE_READS: readonly Reads[] = [WAIT_REASON_READS, PLACE_READS, LABEL_READS];
/** What it takes with its stack. */
export const WHOLE_GOROUTINE_READS: readonly Reads[] = [...GOROUTINE_READS, STACK_READS, ANCESTOR_READS, WAIT_READS];

export const goroutinesAnalysis: Analysis = {
  name: 'goroutines',
  reads: WHOLE_GOROUTINE_READS,
  answer: (program) => answer(program, [...listGoroutines(program, 'stack')]),
};

/** What is worked out of each goroutine. Stacks cost the most; `located` needs them down to the first user frame. */
export interface Details {
  readonly plain: Goroutine;
  readonly located: PlacedGoroutine;
  readonly stack: GoroutineWithStack;
  readonly traceback: Traceback;
  readonly working: WorkingGoroutine;
}
export type Detail = keyof Details;

export interface Query {
  readonly selection?: Selection;
  /** `goid` unless given. For any other order, all selected goroutines are held. */
  readonly sort?: Sort;
}

/**
 * The system goroutines that run finalizers and cleanups: while they call user code they do not count as the runtime's
 * own (isSystemGoroutine in traceback.go). runfinq until Go 1.24, runFinalizers and runCleanups since 1.25.
 */
const CALLBACK_RUNNERS = new Set(['runtime.runfinq', 'runtime.runFinalizers', 'runtime.runCleanups']);
/** Functions of package runtime that start the program's own goroutines (isSystemGoroutine); corostart since Go 1.22. */
const USER_STARTS = new Set(['runtime.main', 'runtime.handleAsyncEvent', 'runtime.corostart']);
const NO_LABELS: Goroutine['labels'] = Object.freeze({});
/** Frames that are searched for the innermost one outside the runtime. */
const USER_DEPTH = 100;

/** The selected goroutines of a program, in as much detail as is asked for. */
export function listGoroutines<D extends Detail>(
  program: GoProgram,
  detail: D,
  { selection = {}, sort = 'goid' }: Query = {},
): StreamedAnswer<Details[D]> {
  const items = function* (): Iterable<Details[D]> {
    const describer = new Describer(program);
    const selected = selectGoroutines(program, describer, selection);
    const compare = compareBy(sort);
    const inOrder = sort === 'goid' ? selected : [...selected].sort((a, b) => compare(a.goroutine, b.goroutine));
    for (const { g, goroutine } of inOrder) yield describer.complete[detail](g, goroutine);
  };
  return new StreamedAnswer(items, () => answer(program, null).warnings);
}

/** The runtime's record of a goroutine, and what it says. */
export interface Described {
  readonly g: G;
  readonly goroutine: Goroutine;
}

/** The selected goroutines, by id unless `order` says otherwise. The stack is followed where the selection needs it. */
export function* selectGoroutines(
  program: GoProgram,
  describer: Describer,
  selection: Selection,
  order?: GoroutineOrder,
): Iterable<Described> {
  const { func, work } = selection;
  const matches = matcher(selection);
  for (const g of program.goroutines(order)) {
    const goroutine = describer.describe(g);
    if (!matches(goroutine)) continue;
    if (func !== undefined && !describer.functionsOf(g).some((name) => func.test(name))) continue;
    if (work !== undefined && !describer.workOf(g).some(({ kind, text }) => work.test(`${kind}: ${text}`))) continue;
    yield { g, goroutine };
  }
}

/** Describes goroutines of one program. */
export class Describer {
  /** Adds to what {@link describe} returned of a goroutine. */
  readonly complete: { readonly [D in Detail]: (g: G, goroutine: Goroutine) => Details[D] } = {
    plain: (_, goroutine) => goroutine,
    located: (g, goroutine) => this.#locate(g, goroutine),
    stack: (g, goroutine) => this.#withStack(g, goroutine),
    traceback: (g, goroutine) => this.#traceback(g, goroutine),
    working: (g, { goid, runtime }) => ({ goid, runtime, work: this.#described(this.workOf(g)) }),
  };
  readonly #program: GoProgram;
  readonly #locations: LocationResolver;
  readonly #waits: WaitsOnReader;
  readonly #working: WorkingOn;
  readonly #machines: ReadonlyMap<number, M>;
  readonly #torn: ReadonlySet<number>;
  readonly #now: number | null;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#locations = new LocationResolver(program);
    this.#waits = new WaitsOnReader(program);
    this.#working = new WorkingOn(program);
    this.#machines = new Map(program.machines.map((m) => [m.addr, m]));
    this.#torn = new Set(program.image.capture.torn);
    const { monotonicNs } = program.image.capture;
    this.#now = monotonicNs === null ? null : Number(monotonicNs);
  }

  /** What is known of a goroutine without its stack. */
  describe(g: G): Goroutine {
    const start = this.#locations.start(g);
    return {
      goid: g.goid,
      runtime: this.#program.runtime.n,
      status: g.status,
      waitReason: isBlocked(g) ? this.#program.waitReasons.at(g.waitreason) : null,
      waitSinceNs: this.#age(g),
      system: this.#isSystem(g, start),
      thread: this.#thread(g),
      lockedToThread: g.lockedm !== 0,
      labels: this.#labels(g),
      parentGoid: g.parentGoid === 0 ? null : g.parentGoid,
      creator: this.#locations.creator(g),
      start,
      entry: this.#locations.entry(g),
      current: this.#locations.current(g),
      torn: this.#torn.has(g.addr),
    };
  }

  /** The innermost place of a goroutine outside the runtime; null where there is none. */
  user(g: G): Loc | null {
    return this.#locations.user(this.#program.stackOf(g, USER_DEPTH).frames);
  }

  /** The functions on a goroutine's stack, those of inlined calls too. */
  functionsOf(g: G): string[] {
    return [...this.#locations.functions(this.#program.stackOf(g).frames)];
  }

  /** The innermost place of a goroutine outside the standard library; null where there is none. */
  app(g: G): Loc | null {
    return this.#locations.app(this.#program.stackOf(g, USER_DEPTH).frames);
  }

  /** What a goroutine works on. */
  workOf(g: G): readonly Work[] {
    const frames = (): readonly PhysicalFrame[] => this.#program.stackOf(g, USER_DEPTH).frames;
    return this.#working.of(g, frames, this.#waits.of(g));
  }

  /** The same without what is told of what it waits on. */
  toldWorkOf(g: G): readonly Work[] {
    const frames = (): readonly PhysicalFrame[] => this.#program.stackOf(g, USER_DEPTH).frames;
    return this.#working.told(g, frames, () => this.#waits.of(g));
  }

  #locate(g: G, { torn, ...goroutine }: Goroutine): PlacedGoroutine {
    const { frames } = this.#program.stackOf(g, USER_DEPTH);
    const [user, app] = [this.#locations.user(frames), this.#locations.app(frames)];
    return { ...goroutine, user, app, work: this.#workOf(g, frames, this.#waits.of(g, frames)), torn };
  }

  #withStack(g: G, { torn, ...goroutine }: Goroutine): GoroutineWithStack {
    const { frames, truncated } = this.#program.stackOf(g);
    const waits = this.#waits.of(g, frames);
    return {
      ...goroutine,
      user: this.#locations.user(frames),
      work: this.#workOf(g, frames, waits),
      waitsOn: waits.map(describeWait),
      frames: this.#locations.calls(frames),
      truncated,
      torn,
      ...(g.ancestors === 0
        ? {}
        : { ancestors: this.#ancestors(g).map((ancestor) => this.#locations.ancestor(ancestor)) }),
    };
  }

  #traceback(g: G, goroutine: Goroutine): Traceback {
    const { frames, truncated } = this.#program.stackOf(g);
    const locations = this.#locations;
    return {
      goroutine,
      lines: locations.tracebackLines(frames),
      truncated,
      creator: locations.tracebackCreator(g.gopc),
      ancestors: this.#ancestors(g).map(({ goid, pcs, gopc }) => ({
        goid,
        lines: pcs.flatMap((pc) => locations.tracebackLine(pc) ?? []),
        creator: locations.tracebackCreator(gopc),
      })),
    };
  }

  #workOf(g: G, frames: readonly PhysicalFrame[], waits: readonly WaitsOn[]): WorkItem[] {
    return this.#described(this.#working.of(g, () => frames, waits));
  }

  #described(work: readonly Work[]): WorkItem[] {
    const { capturedAt } = this.#program.image.capture;
    return work.map((one) => describeWork(one, capturedAt));
  }

  #ancestors(g: G): readonly AncestorInfo[] {
    return onFault(
      () => this.#program.ancestorReader.read(g.ancestors),
      (fault) => {
        const message = `the ancestors of goroutine ${g.goid} cannot be read: ${fault.message}`;
        this.#program.warn({ code: 'ancestors-unreadable', goid: g.goid, message });
        return [];
      },
    );
  }

  /** isSystemGoroutine (traceback.go). */
  #isSystem(g: G, start: Loc | null): boolean {
    if (start === null || !start.func.startsWith('runtime.') || USER_STARTS.has(start.func)) return false;
    if (g.status === 'idle' || !CALLBACK_RUNNERS.has(start.func)) return true;
    return this.functionsOf(g).every((func) => isRuntime(func) || func === start.func);
  }

  /** For how long it has waited, as goroutineheader (traceback.go) counts it: since a collection first saw it waiting. */
  #age(g: G): number | null {
    if (g.waitsince === 0 || this.#now === null || (!isBlocked(g) && g.status !== 'syscall')) return null;
    return Math.max(0, this.#now - g.waitsince);
  }

  #labels(g: G): Goroutine['labels'] {
    if (g.labels === 0) return NO_LABELS;
    return onFault(
      () => this.#program.labelReader.read(g.labels),
      (fault) => {
        const message = `the labels of goroutine ${g.goid} cannot be read: ${fault.message}`;
        this.#program.warn({ code: 'labels-unreadable', goid: g.goid, message });
        return {};
      },
    );
  }

  #thread(g: G): Goroutine['thread'] {
    if (g.status !== 'running' && g.status !== 'syscall') return null;
    const m = this.#machines.get(g.m);
    if (m === undefined) return null;
    return { m: m.id, tid: this.#program.threadOf(m)?.tid ?? m.procid };
  }
}
