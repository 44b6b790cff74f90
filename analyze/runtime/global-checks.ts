import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** Constant from Go 1.12 to 1.27: gobuf.g lies 72 bytes into a g and holds the g's own address once it has run. */
const G_SELF = 72;
/** g.m, constant from Go 1.12 to 1.27. */
const G_M = 48;
const MAX_GOROUTINES = 1 << 27;
const MAX_PROCESSORS = 1 << 16;
const MAX_MACHINES = 1 << 17;
/** No process has memory below the first, or, for a program, from the second on. */
const LOWEST = 4096;
const HIGHEST = 2 ** 48;
/** How many goroutines of a long allgs are looked at. */
const SAMPLE = 256;
/** How far m.alllink may have moved from where the table has it. */
const CALIBRATION_BYTES = 96;
/** len(p.runq), from Go 1.12 to 1.27. */
const RUN_QUEUE = 256;
const TWO_32 = 2 ** 32;
/** debug.SetMaxThreads sets it; the runtime begins with 10,000. */
const MAX_MAXMCOUNT = 0x7fffffff;

/** Tells the runtime's globals from other memory by what they must look like. A read of absent memory is a no. */
export class GlobalChecks {
  readonly #memory: Memory;
  readonly #layouts: Layouts;

  constructor(memory: Memory, layouts: Layouts) {
    this.#memory = memory;
    this.#layouts = layouts;
  }

  /**
   * The number of goroutines in the slice at `a` if 90 in 100 of those that the image has are ones; else 0. Where it has
   * none, `lost` is the answer: true for an address that is known from elsewhere.
   */
  allgs(a: Addr, lost = false): number {
    return this.#attempt(0, () => {
      const list = this.#memory.ptr(a);
      const length = this.#memory.word(a, 8);
      if (length < 1 || length > this.#memory.word(a, 16) || length > MAX_GOROUTINES || list % 8 !== 0) return 0;
      const step = Math.max(1, Math.floor(length / SAMPLE));
      let seen = 0;
      let good = 0;
      for (let i = 0; i < length; i += step) {
        if (this.#isLost(plus(list, 8 * i), 8)) continue;
        const g = this.#memory.ptr(list, 8 * i);
        if (this.#isLost(g, G_SELF + 8)) continue;
        seen++;
        if (this.goroutine(g)) good++;
      }
      return (seen > 0 || lost) && good >= seen * 0.9 ? length : 0;
    });
  }

  /** A g that has run or can run. */
  goroutine(g: Addr): boolean {
    return this.#attempt(false, () => {
      const layout = this.#layouts.of('g');
      if (g === 0 || g % 8 !== 0 || this.#memory.ptr(g, G_SELF) !== g) return false;
      const goid = this.#memory.word(g, layout.offset('goid'));
      const status = this.#memory.u32(g, layout.offset('atomicstatus')) & ~0x1000;
      return goid < Number.MAX_SAFE_INTEGER && status <= 11;
    });
  }

  /** The number of Ps in the slice at `a` if every one that the image has bears its own index; `lost` as for allgs. */
  allp(a: Addr, lost = false): number {
    return this.#attempt(0, () => {
      const layout = this.#layouts.of('p');
      const list = this.#memory.ptr(a);
      const length = this.#memory.word(a, 8);
      if (length < 1 || length > this.#memory.word(a, 16) || length > MAX_PROCESSORS || list % 8 !== 0) return 0;
      const seen: number[] = [];
      for (let i = 0; i < length; i++) {
        if (this.#isLost(plus(list, 8 * i), 8)) continue;
        const p = this.#memory.ptr(list, 8 * i);
        if (this.#isLost(p, layout.sizeBytes)) continue;
        seen.push(p);
        if (p === 0 || this.#memory.i32(p, layout.offset('id')) !== i) return 0;
        if (this.#memory.u32(p, layout.offset('status')) > 4) return 0;
        if (this.#memory.ptr(p, layout.offset('mcache')) === 0) return 0;
        const queued = this.#memory.u32(p, layout.offset('runqtail')) - this.#memory.u32(p, layout.offset('runqhead'));
        if ((queued + TWO_32) % TWO_32 > RUN_QUEUE) return 0;
      }
      if (areCloserThan(seen, layout.sizeBytes / 2)) return 0;
      return seen.length > 0 || lost ? length : 0;
    });
  }

  /**
   * Whether each M that a P of a slice names is one. A program that runs may have made an M since its memory was read: this
   * tells candidates apart, and is nothing against an address that is known from elsewhere.
   */
  namesMachines(allp: Addr): boolean {
    return this.#attempt(false, () => {
      const at = this.#layouts.of('p').offset('m');
      const list = this.#memory.ptr(allp);
      const length = Math.min(this.#memory.word(allp, 8), MAX_PROCESSORS);
      for (let i = 0; i < length; i++) {
        if (this.#isLost(plus(list, 8 * i), 8) || this.#isLost(this.#memory.ptr(list, 8 * i), at + 8)) continue;
        const m = this.#memory.ptr(this.#memory.ptr(list, 8 * i), at);
        if (m !== 0 && !this.#mayBeMachine(m)) return false;
      }
      return true;
    });
  }

  /** The static pair: an m whose first word is this g, which points back at it. */
  g0(g: Addr): boolean {
    return this.machineOf(g) !== null;
  }

  /** The M of a g0, or null where the two do not name each other. */
  machineOf(g: Addr): Addr | null {
    return this.#attempt(null, () => {
      const m = this.#memory.ptr(g, G_M);
      return m !== 0 && this.#memory.ptr(m) === g ? m : null;
    });
  }

  /** Where schedt.maxmcount lies; it is 10,000 in nearly every program. */
  get maxmcountOffset(): number {
    return this.#layouts.of('schedt').offset('maxmcount');
  }

  sched(a: Addr): boolean {
    return this.#attempt(false, () => {
      const layout = this.#layouts.of('schedt');
      const maxmcount = this.#memory.i32(a, layout.offset('maxmcount'));
      const goidgen = this.#memory.word(a, layout.offset('goidgen'));
      const nmidle = this.#memory.i32(a, layout.offset('nmidle'));
      const mnext = this.#memory.word(a, layout.offset('mnext'));
      const midle = this.#memory.ptr(a, layout.offset('midle'));
      return (
        maxmcount > 0 &&
        maxmcount <= MAX_MAXMCOUNT &&
        goidgen > 0 &&
        goidgen < 2 ** 48 &&
        nmidle >= 0 &&
        nmidle <= MAX_MACHINES &&
        mnext > 0 &&
        mnext <= MAX_MAXMCOUNT &&
        (midle === 0 || this.#mayBeMachine(midle))
      );
    });
  }

  /** The offset of m.alllink by which the list at `allm` ends at m0, the table's first; null where none does. */
  alllink(allm: Addr, m0: Addr): number | null {
    const expected = this.#layouts.of('m').offset('alllink');
    const first = this.#attempt(null, () => this.#memory.ptr(allm));
    if (first === null) return null;
    if (this.chainLength(first, m0, expected) > 0) return expected;
    for (let shift = 8; shift <= CALIBRATION_BYTES; shift += 8) {
      for (const offset of [expected + shift, expected - shift]) {
        if (this.chainLength(first, m0, offset) > 1) return offset;
      }
    }
    return this.#isChainLost(first, m0, expected) ? expected : null;
  }

  /** The number of Ms from `first` through the link at `offset` to m0 and no further; 0 where it is no such list. */
  chainLength(first: Addr, m0: Addr, offset: number): number {
    return this.#attempt(0, () => {
      let m = first;
      for (let n = 1; n <= MAX_MACHINES; n++) {
        if (m === 0 || !this.#isMachine(m)) return 0;
        const next = this.#memory.ptr(m, offset);
        if (m === m0) return next === 0 ? n : 0;
        m = next;
      }
      return 0;
    });
  }

  /** True where the list is one as far as the image has it, and the image has not all of it. */
  #isChainLost(first: Addr, m0: Addr, offset: number): boolean {
    return this.#attempt(false, () => {
      let m = first;
      for (let n = 1; n <= MAX_MACHINES && m !== m0; n++) {
        if (m === 0 || !this.#mayBeMachine(m)) return false;
        if (this.#isLost(m, offset + 8)) return true;
        m = this.#memory.ptr(m, offset);
      }
      return m === m0;
    });
  }

  #mayBeMachine(m: Addr): boolean {
    if (this.#isLost(m, 8)) return true;
    return this.#isLost(plus(this.#memory.ptr(m), G_M), 8) || this.#isMachine(m);
  }

  /** True for what may well be there in the process and that the image does not have: it speaks neither for nor against. */
  #isLost(at: Addr, length: number): boolean {
    return at % 8 === 0 && at >= LOWEST && at < HIGHEST && !this.#memory.has(at, length);
  }

  /** Its first word is its g0, which points back at it. */
  #isMachine(m: Addr): boolean {
    return this.#memory.ptr(this.#memory.ptr(m), G_M) === m;
  }

  #attempt<T>(otherwise: T, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof MemoryFault) return otherwise;
      throw error;
    }
  }
}

/** A P is somewhat smaller on arm64, from Go 1.26 on; timers in a heap bear their index too, and are small by far. */
function areCloserThan(addresses: readonly number[], sizeBytes: number): boolean {
  const sorted = [...addresses].sort((a, b) => a - b);
  return sorted.some((at, i) => i > 0 && at - (sorted[i - 1] ?? 0) < sizeBytes);
}
