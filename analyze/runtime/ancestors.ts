import { plus, type Addr } from '../../snapshots/address.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import { wordAt } from '../../snapshots/bytes.js';
import type { Layouts } from './layouts.js';
import { nothing, type PointerWalk } from './pointer-walk.js';

/** GODEBUG=tracebackancestors takes any number; real chains of go statements are much shorter. */
const MAX_ANCESTORS = 1000;
/** At least as many return addresses as saveAncestors keeps (proc.go). */
const MAX_PCS = 128;

/** A goroutine that started another one, at the time of its go statement (ancestorInfo in runtime2.go). */
export interface AncestorInfo {
  readonly goid: number;
  /** Return addresses, innermost first. */
  readonly pcs: readonly number[];
  /** Return address of the go statement that started this ancestor. */
  readonly gopc: number;
}

/** Reads the ancestors that the runtime keeps of each goroutine with GODEBUG=tracebackancestors=N. */
export class AncestorReader {
  readonly #memory: Memory;
  readonly #sizeBytes: number;
  readonly #at;

  constructor(memory: Memory, layouts: Layouts) {
    const layout = layouts.of('ancestorInfo');
    this.#memory = new Memory(memory.source);
    this.#sizeBytes = layout.sizeBytes;
    this.#at = { pcs: layout.offset('pcs'), goid: layout.offset('goid'), gopc: layout.offset('gopc') };
  }

  /** Returns the parent first, then its parent. `ancestors` is g.ancestors. Throws MemoryFault where they are absent or damaged. */
  read(ancestors: Addr): AncestorInfo[] {
    if (ancestors === 0) return [];
    const list = this.#memory.ptr(ancestors);
    const length = this.#memory.word(ancestors, 8);
    if (length > MAX_ANCESTORS) throw new MemoryFault(ancestors, `a list of ${length} ancestors`);
    return Array.from({ length }, (_, i) => this.#readOne(plus(list, i * this.#sizeBytes)));
  }

  #readOne(at: Addr): AncestorInfo {
    const pcs = this.#memory.ptr(at, this.#at.pcs);
    const count = this.#memory.word(at, this.#at.pcs + 8);
    if (count > MAX_PCS) throw new MemoryFault(at, `an ancestor with ${count} frames`);
    return {
      goid: this.#memory.word(at, this.#at.goid),
      pcs: Array.from({ length: count }, (_, i) => this.#memory.word(pcs, 8 * i)),
      gopc: this.#memory.word(at, this.#at.gopc),
    };
  }
}

/** Copies in the stop what {@link AncestorReader} reads. */
export class AncestorWalk {
  readonly #sizeBytes: number;
  readonly #pcs: number;

  constructor(layouts: Layouts) {
    const layout = layouts.of('ancestorInfo');
    this.#sizeBytes = layout.sizeBytes;
    this.#pcs = layout.offset('pcs');
  }

  /** Has a walk go to all that g.ancestors points to. */
  start(walk: PointerWalk, ancestors: number): void {
    walk.want(this.#list, ancestors, 16);
  }

  readonly #list = (walk: PointerWalk): void => {
    const length = wordAt(walk.view, walk.offset + 8);
    if (length <= MAX_ANCESTORS) walk.want(this.#each, wordAt(walk.view, walk.offset), length * this.#sizeBytes);
  };

  readonly #each = (walk: PointerWalk): void => {
    for (let i = 0; i + this.#sizeBytes <= walk.length; i += this.#sizeBytes) {
      const slice = walk.offset + i + this.#pcs;
      const count = wordAt(walk.view, slice + 8);
      if (count <= MAX_PCS) walk.want(nothing, wordAt(walk.view, slice), 8 * count);
    }
  };
}
