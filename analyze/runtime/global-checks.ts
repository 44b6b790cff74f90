import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { GOROUTINE_STATUSES, GSCAN } from './goroutine.js';
import type { Layout, Layouts } from './layouts.js';
import { PROCESSOR_STATUSES } from './processor.js';

const MAX_GOROUTINES = 1 << 27;
const MAX_PROCESSORS = 1 << 16;
const MAX_MACHINES = 1 << 17;
/** Addresses below LOWEST, and from HIGHEST on, are never a program's. */
const LOWEST = 4096;
const HIGHEST = 2 ** 48;
/**
 * How many goroutines of a long allgs are checked: some neighbours in each of a few places, since the gs of a million are
 * spread over hundreds of sections of a snapshot.
 */
const SAMPLE = 256;
const NEIGHBOURS = 16;
/** How far m.alllink may have moved from where the table has it, in bytes. */
const CALIBRATION_BYTES = 96;
/** len(p.runq) (runtime2.go). */
export const RUN_QUEUE = 256;
const TWO_32 = 2 ** 32;
const MAX_MAXMCOUNT = 0x7fffffff;

/** Checks whether memory looks like one of the runtime's globals. Memory that is absent or damaged fails a check. */
export class GlobalChecks {
  readonly #memory: Memory;
  readonly #g: Layout;
  readonly #p: Layout;
  readonly #schedt: Layout;
  /** Offset of g.sched.g, which holds the g's own address once it has run. */
  readonly #gSelf: number;
  readonly #gM: number;
  readonly #alllink: number;

  constructor(memory: Memory, layouts: Layouts) {
    this.#memory = memory;
    this.#g = layouts.of('g');
    this.#p = layouts.of('p');
    this.#schedt = layouts.of('schedt');
    this.#gSelf = this.#g.offset('sched') + layouts.of('gobuf').offset('g');
    this.#gM = this.#g.offset('m');
    this.#alllink = layouts.of('m').offset('alllink');
  }

  /**
   * Returns the length of the slice at `a` if at least 90 % of the gs that the image has are valid, else 0. `absentIsOk`
   * decides where the image has none of them, or less than half of the list: true for an address that is known from elsewhere.
   */
  allgs(a: Addr, absentIsOk = false): number {
    return this.#attempt(0, () => {
      const list = this.#memory.ptr(a);
      const length = this.#memory.word(a, 8);
      if (length < 1 || length > this.#memory.word(a, 16) || length > MAX_GOROUTINES || list % 8 !== 0) return 0;
      const step = Math.max(1, Math.floor(length / SAMPLE));
      let sampled = 0;
      let listed = 0;
      let seen = 0;
      let good = 0;
      for (let i = 0; i < length; i += i % NEIGHBOURS === NEIGHBOURS - 1 ? 1 + NEIGHBOURS * (step - 1) : 1) {
        sampled++;
        if (this.#isAbsent(plus(list, 8 * i), 8)) continue;
        listed++;
        const g = this.#memory.ptr(list, 8 * i);
        if (this.#isAbsent(g, this.#gSelf + 8)) continue;
        seen++;
        if (this.goroutine(g)) good++;
      }
      const isEnough = absentIsOk || (seen > 0 && listed >= sampled / 2);
      return isEnough && good >= seen * 0.9 ? length : 0;
    });
  }

  /** True for a g with an id, which has run or can run: g0s and gsignals have none (malg in proc.go). */
  goroutine(g: Addr): boolean {
    return this.#attempt(false, () => {
      if (g === 0 || g % 8 !== 0 || this.#memory.ptr(g, this.#gSelf) !== g) return false;
      const goid = this.#memory.word(g, this.#g.offset('goid'));
      const status = this.#memory.u32(g, this.#g.offset('atomicstatus')) & ~GSCAN;
      return goid > 0 && goid < Number.MAX_SAFE_INTEGER && status < GOROUTINE_STATUSES.length;
    });
  }

  /** Returns the length of the slice at `a` if every P that the image has bears its own index, else 0. */
  allp(a: Addr, absentIsOk = false): number {
    return this.#attempt(0, () => {
      const layout = this.#p;
      const list = this.#memory.ptr(a);
      const length = this.#memory.word(a, 8);
      if (length < 1 || length > this.#memory.word(a, 16) || length > MAX_PROCESSORS || list % 8 !== 0) return 0;
      const seen: number[] = [];
      for (let i = 0; i < length; i++) {
        if (this.#isAbsent(plus(list, 8 * i), 8)) continue;
        const p = this.#memory.ptr(list, 8 * i);
        if (this.#isAbsent(p, layout.sizeBytes)) continue;
        seen.push(p);
        if (p === 0 || this.#memory.i32(p, layout.offset('id')) !== i) return 0;
        if (this.#memory.u32(p, layout.offset('status')) >= PROCESSOR_STATUSES.length) return 0;
        if (this.#memory.ptr(p, layout.offset('mcache')) === 0) return 0;
        const queued = this.#memory.u32(p, layout.offset('runqtail')) - this.#memory.u32(p, layout.offset('runqhead'));
        if ((queued + TWO_32) % TWO_32 > RUN_QUEUE) return 0;
      }
      if (areCloserThan(seen, layout.sizeBytes / 2)) return 0;
      return seen.length > 0 || absentIsOk ? length : 0;
    });
  }

  /**
   * False if a P of the slice names an M that is not one. Only for choosing between candidates of a scan: a running
   * program may have made an M after its memory was read.
   */
  namesMachines(allp: Addr): boolean {
    return this.#attempt(false, () => {
      const at = this.#p.offset('m');
      const list = this.#memory.ptr(allp);
      const length = Math.min(this.#memory.word(allp, 8), MAX_PROCESSORS);
      for (let i = 0; i < length; i++) {
        if (this.#isAbsent(plus(list, 8 * i), 8) || this.#isAbsent(this.#memory.ptr(list, 8 * i), at + 8)) continue;
        const m = this.#memory.ptr(this.#memory.ptr(list, 8 * i), at);
        if (m !== 0 && !this.#mayBeMachine(m)) return false;
      }
      return true;
    });
  }

  /** True if the g has an M that names it as its g0. */
  g0(g: Addr): boolean {
    return this.machineOf(g) !== null;
  }

  /** The M of a g0, or null where the two do not name each other. */
  machineOf(g: Addr): Addr | null {
    return this.#attempt(null, () => {
      const m = this.#memory.ptr(g, this.#gM);
      return m !== 0 && this.#memory.ptr(m) === g ? m : null;
    });
  }

  get maxmcountOffset(): number {
    return this.#schedt.offset('maxmcount');
  }

  sched(a: Addr): boolean {
    return this.#attempt(false, () => {
      const layout = this.#schedt;
      const maxmcount = this.#memory.i32(a, layout.offset('maxmcount'));
      const goidgen = this.#memory.word(a, layout.offset('goidgen'));
      const nmidle = this.#memory.i32(a, layout.offset('nmidle'));
      const mnext = this.#memory.word(a, layout.offset('mnext'));
      const midle = this.#memory.ptr(a, layout.offset('midle'));
      const npidle = this.#memory.i32(a, layout.offset('npidle'));
      const nmspinning = this.#memory.i32(a, layout.offset('nmspinning'));
      return (
        maxmcount > 0 &&
        maxmcount <= MAX_MAXMCOUNT &&
        goidgen > 0 &&
        goidgen < 2 ** 48 &&
        nmidle >= 0 &&
        nmidle <= MAX_MACHINES &&
        mnext > 0 &&
        mnext <= MAX_MAXMCOUNT &&
        npidle >= 0 &&
        npidle <= MAX_PROCESSORS &&
        nmspinning >= 0 &&
        nmspinning <= MAX_MACHINES &&
        (midle === 0 || this.#mayBeMachine(midle))
      );
    });
  }

  /**
   * Returns the offset of m.alllink with which the list at `allm` ends at m0, the first M; null where there is none. Tries
   * the table's offset first, then those near it: a patch release has moved the field before (1.23.12).
   */
  alllink(allm: Addr, m0: Addr): number | null {
    const expected = this.#alllink;
    const first = this.#attempt(null, () => this.#memory.ptr(allm));
    if (first === null) return null;
    if (this.#leadsTo(first, m0, expected)) return expected;
    for (let shift = 8; shift <= CALIBRATION_BYTES; shift += 8) {
      for (const offset of [expected + shift, expected - shift]) {
        if (this.chainLength(first, m0, offset) > 1) return offset;
      }
    }
    return this.#isChainAbsent(first, m0, expected) ? expected : null;
  }

  /**
   * True if the link at `offset` leads from `first` to m0, the last, and at least half of what it leads through are Ms: one has
   * no g0 yet while allocm (proc.go) makes it, and the g0 of one that has ended may be freed.
   */
  #leadsTo(first: Addr, m0: Addr, offset: number): boolean {
    return this.#attempt(false, () => {
      let m = first;
      for (let n = 1, machines = 0; n <= MAX_MACHINES && m !== 0; n++) {
        const at = m;
        if (this.#attempt(false, () => this.#isMachine(at))) machines++;
        m = this.#memory.ptr(m, offset);
        if (at === m0) return m === 0 && 2 * machines >= n;
      }
      return false;
    });
  }

  /** Returns the number of Ms from `first` through the link at `offset` up to m0, the last; 0 where they are not such a list. */
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

  /** True if the part of the list that the image has is one of Ms. */
  #isChainAbsent(first: Addr, m0: Addr, offset: number): boolean {
    return this.#attempt(false, () => {
      let m = first;
      for (let n = 1; n <= MAX_MACHINES && m !== m0; n++) {
        if (m === 0 || !this.#mayBeMachine(m)) return false;
        if (this.#isAbsent(m, offset + 8)) return true;
        m = this.#memory.ptr(m, offset);
      }
      return m === m0;
    });
  }

  #mayBeMachine(m: Addr): boolean {
    if (this.#isAbsent(m, 8)) return true;
    return this.#isAbsent(plus(this.#memory.ptr(m), this.#gM), 8) || this.#isMachine(m);
  }

  /** True for a plausible address that the image does not have; proves nothing about what lies there. */
  #isAbsent(at: Addr, length: number): boolean {
    return at % 8 === 0 && at >= LOWEST && at < HIGHEST && !this.#memory.has(at, length);
  }

  /** The first word of an M is its g0, which points back at it. */
  #isMachine(m: Addr): boolean {
    return this.#memory.ptr(this.#memory.ptr(m), this.#gM) === m;
  }

  #attempt<T>(otherwise: T, read: () => T): T {
    return onFault(read, () => otherwise);
  }
}

/** Timers in a heap bear their index as Ps do, but are far smaller than a P (which is a little smaller on arm64). */
function areCloserThan(addresses: readonly number[], sizeBytes: number): boolean {
  const sorted = [...addresses].sort((a, b) => a - b);
  return sorted.some((at, i) => i > 0 && at - (sorted[i - 1] ?? 0) < sizeBytes);
}
