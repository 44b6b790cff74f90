import { plus, type Addr } from '../../snapshots/address.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** GODEBUG=tracebackancestors takes any number; a chain of go statements is hardly ever so long. */
const MAX_ANCESTORS = 1000;
/** saveAncestors keeps as many return addresses (tracebackInnerFrames and its like in traceback.go). */
const MAX_PCS = 128;

/** A goroutine that made a goroutine, as it stood at the go statement (ancestorInfo in runtime2.go). */
export interface AncestorInfo {
  readonly goid: number;
  /** Return addresses, innermost first. */
  readonly pcs: readonly number[];
  /** Return address of the go statement that made this ancestor itself. */
  readonly gopc: number;
}

/** Reads what the runtime keeps of a goroutine's ancestors while GODEBUG=tracebackancestors is on. */
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

  /** The parent first; `ancestors` is g.ancestors. Throws MemoryFault where they are absent or damaged. */
  read(ancestors: Addr): AncestorInfo[] {
    if (ancestors === 0) return [];
    const list = this.#memory.ptr(ancestors);
    const length = this.#memory.word(ancestors, 8);
    if (length > MAX_ANCESTORS) throw new MemoryFault(ancestors, `a list of ${length} ancestors`);
    return Array.from({ length }, (_, i) => this.#one(plus(list, i * this.#sizeBytes)));
  }

  #one(at: Addr): AncestorInfo {
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
