import { wordAt } from '../../snapshots/bytes.js';
import type { Range } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import { AncestorWalk } from './ancestors.js';
import { DeferWalk } from './defer-records.js';
import type { GoRuntime } from './go-runtime.js';
import { LabelWalk } from './labels.js';
import { PointerWalk, type CopiedMemory, type CopiedParts } from './pointer-walk.js';
import { WaitWalk } from './wait-walk.js';

/** Entries of the cache of label sets: many goroutines share one. A power of two. */
const CACHED = 1024;

/**
 * Goes from goroutines that moved to all that a snapshot must hold of them beside their gs and stacks: what they wait for,
 * their deferred calls, their labels and their ancestors.
 */
export class MovedWalk {
  readonly #walk: PointerWalk;
  readonly #waits: WaitWalk;
  readonly #labels: LabelWalk;
  readonly #ancestors: AncestorWalk;
  readonly #defers: DeferWalk;
  /** Offsets in a g. */
  readonly #at;
  /** What was asked for lately, by a part of its address. */
  readonly #asked = new Float64Array(CACHED);
  #hasAsked = false;

  /** `gs` has the gs of all goroutines; `constants` are as for {@link PointerWalk}. */
  constructor(program: GoRuntime, gs: Range, constants: Runs) {
    const { layouts } = program;
    const g = layouts.of('g');
    this.#walk = new PointerWalk(constants);
    this.#waits = new WaitWalk(program, gs);
    this.#labels = new LabelWalk(layouts.release);
    this.#ancestors = new AncestorWalk(layouts);
    this.#defers = new DeferWalk(layouts);
    this.#at = { labels: g.offset('labels'), ancestors: g.offset('ancestors') };
  }

  /** Begins a walk from this many goroutines. */
  begin(goroutines: number): void {
    this.#walk.begin(goroutines);
    this.#waits.begin(goroutines);
    if (this.#hasAsked) this.#asked.fill(0);
    this.#hasAsked = false;
  }

  /**
   * Adds a goroutine, whose g is at `address` and lies at the offset `g` of `view`. Its label set is not looked at if it is
   * still `knownLabels`, nor its descriptor unless `toDescriptors`.
   */
  add(copied: CopiedParts, view: DataView, g: number, address: number, knownLabels = 0, toDescriptors = true): void {
    this.#waits.start(this.#walk, copied, view, g, address, toDescriptors);
    this.#defers.start(this.#walk, copied, view, g);
    const labels = wordAt(view, g + this.#at.labels);
    if (labels !== knownLabels) this.#addLabels(labels);
    const ancestors = wordAt(view, g + this.#at.ancestors);
    if (ancestors !== 0) this.#ancestors.start(this.#walk, ancestors);
  }

  /** False if {@link add} would find nothing to go to, as for most goroutines that do not wait. Much quicker than that. */
  leadsOn(view: DataView, g: number, knownLabels: number): boolean {
    if (this.#waits.isWaiting(view, g) || this.#defers.hasRecords(view, g)) return true;
    const labels = wordAt(view, g + this.#at.labels);
    return (labels !== 0 && labels !== knownLabels) || wordAt(view, g + this.#at.ancestors) !== 0;
  }

  #addLabels(labels: number): void {
    const slot = Math.floor(labels / 8) % CACHED;
    if (labels === 0 || this.#asked[slot] === labels) return;
    this.#asked[slot] = labels;
    this.#hasAsked = true;
    this.#labels.start(this.#walk, labels);
  }

  /** As {@link PointerWalk.follow}. */
  follow(records: CopiedMemory): boolean {
    return this.#walk.follow(records);
  }

  /** As {@link PointerWalk.missing}. */
  get missing(): PointerWalk['missing'] {
    return this.#walk.missing;
  }

  /** As {@link PointerWalk.kept}. */
  get kept(): PointerWalk['kept'] {
    return this.#walk.kept;
  }

  /** As {@link WaitWalk.elemTypes}. */
  get elemTypes(): WaitWalk['elemTypes'] {
    return this.#waits.elemTypes;
  }

  /** As {@link PointerWalk.needed}. */
  get needed(): PointerWalk['needed'] {
    return this.#walk.needed;
  }
}
