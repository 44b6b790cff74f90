import type { Addr } from '../../snapshots/address.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { Memory, type MemorySource, type Range, type Window } from '../../snapshots/memory.js';
import { random } from '../support/gsp.js';

/**
 * What happens to pages: `bits` flips single bits, `words` overwrites words with those that are worst as pointers and
 * lengths, `zeros` clears them, `absent` removes them from the image.
 */
export const DAMAGE = ['bits', 'words', 'zeros', 'absent'] as const;
export type Damage = (typeof DAMAGE)[number];

/** The mappings that it happens to. Where tables and code are whole, the analysis gets further. */
export const PLACES = ['writable', 'read-only', 'everywhere'] as const;
export type Place = (typeof PLACES)[number];

export interface DamageOptions {
  readonly damage: Damage;
  readonly place: Place;
  /** One page in so many is damaged. */
  readonly oneIn: number;
  readonly seed: number;
}

const PAGE = 4096;
/** Changed bits or words in a damaged page. */
const HITS = 8;
/** Reads after which the analysis counts as endless; that of an undamaged program takes some ten thousand. */
const MAX_WINDOWS = 20_000_000;

/** Returns the image with its memory damaged, in the same way each time for the same options. */
export function damaged(image: ProcessImage, options: DamageOptions): ProcessImage {
  const hit = (page: number): boolean => isDamaged(image, options, page);
  return { ...image, memory: new Memory(new DamagedSource(image.memory.source, options, hit)) };
}

/** Whether the page at an address is one of those that {@link damaged} damages. */
export function isDamaged({ mappings }: ProcessImage, { place, oneIn, seed }: DamageOptions, page: number): boolean {
  if (random(mixed(seed, page))(oneIn) !== 0) return false;
  const writable = mappings.some(({ start, end, writable }) => writable && page >= start && page < end);
  return place === 'everywhere' || writable === (place === 'writable');
}

function mixed(seed: number, page: number): number {
  return Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul((page / PAGE) % 2 ** 31, 0x85ebca6b);
}

class DamagedSource implements MemorySource {
  readonly #source: MemorySource;
  readonly #options: DamageOptions;
  readonly #hit: (page: number) => boolean;
  readonly #known = new Map<number, Window | null>();
  #windows = 0;

  constructor(source: MemorySource, options: DamageOptions, hit: (page: number) => boolean) {
    this.#source = source;
    this.#options = options;
    this.#hit = hit;
  }

  window(addr: number): Window | null {
    if (++this.#windows > MAX_WINDOWS) throw new Error(`more than ${MAX_WINDOWS} pages were asked for`);
    const page = addr - (addr % PAGE);
    const whole = this.#source.window(addr);
    if (whole === null) return null;
    const lo = Math.max(whole.lo, page);
    let window = this.#known.get(lo);
    if (window === undefined) {
      window = this.#read(whole, page, lo);
      this.#known.set(lo, window);
    }
    return window;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (const range of this.#source.ranges(lo, hi)) {
      if (this.#options.damage !== 'absent') yield range;
      else yield* this.#pagesLeft(range);
    }
  }

  *#pagesLeft(range: Range): Iterable<Range> {
    for (let at: number = range.lo; at < range.hi;) {
      const page = at - (at % PAGE);
      const end = Math.min(page + PAGE, range.hi);
      if (!this.#hit(page)) yield { lo: at as Addr, hi: end as Addr };
      at = end;
    }
  }

  #read(whole: Window, page: number, lo: number): Window | null {
    const hi = Math.min(whole.hi, page + PAGE);
    const view = new DataView(whole.view.buffer, whole.view.byteOffset + (lo - whole.lo), hi - lo);
    if (!this.#hit(page)) return { lo, hi, view };
    if (this.#options.damage === 'absent') return null;
    const bytes = new Uint8Array(hi - lo);
    if (this.#options.damage !== 'zeros') {
      bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
      this.#spoil(new DataView(bytes.buffer), lo);
    }
    return { lo, hi, view: new DataView(bytes.buffer) };
  }

  #spoil(view: DataView, lo: number): void {
    const next = random(mixed(this.#options.seed + 77, lo));
    for (let i = 0; i < HITS && view.byteLength >= 16; i++) {
      if (this.#options.damage === 'bits') {
        const at = next(view.byteLength);
        view.setUint8(at, view.getUint8(at) ^ (1 << next(8)));
        continue;
      }
      const at = 8 * next(Math.floor(view.byteLength / 8));
      const other = 8 * next(Math.floor(view.byteLength / 8));
      const words = [
        ...[0n, 1n, 0xffffffffffffffffn, 0x7fffffffffffffffn, 1n << 53n, (1n << 47n) - 1n, 1n << 26n],
        ...[
          BigInt(lo + at),
          BigInt(lo + other),
          BigInt(lo),
          view.getBigUint64(other, true),
          view.getBigUint64(at, true) + 1n,
        ],
      ];
      view.setBigUint64(at, BigInt.asUintN(64, words[next(words.length)] ?? 0n), true);
    }
  }
}
