import { plus, type Addr } from '../../snapshots/address.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';

/** Pprof labels are set by hand: a program that has more on one goroutine does not exist. */
const MAX_LABELS = 1024;

/** First release whose label set is a sorted list and no map (runtime/pprof/label.go). */
const LIST_SINCE = 24;

/** hmap and bmap of map[string]string (runtime/map.go, 1.12 to 1.23). */
const HMAP = { logBuckets: 9, buckets: 16, oldBuckets: 24 } as const;
const BUCKET = { slots: 8, keys: 8, values: 8 + 8 * 16, overflow: 8 + 16 * 16, sizeBytes: 16 + 16 * 16 } as const;
const MIN_TOP_HASH = 5;
const MAX_LOG_BUCKETS = 8;

/** Reads the pprof labels that a goroutine points at. */
export class LabelReader {
  readonly #memory: Memory;
  readonly #list: boolean;
  readonly #known = new Map<Addr, Readonly<Record<string, string>>>();

  constructor(memory: Memory, minor: number) {
    this.#memory = new Memory(memory.source);
    this.#list = minor >= LIST_SINCE;
  }

  /** Labels by key; those of equal pointers are read once. Throws MemoryFault where they are absent or damaged. */
  read(labels: Addr): Readonly<Record<string, string>> {
    if (labels === 0) return NONE;
    const known = this.#known.get(labels);
    if (known !== undefined) return known;
    const pairs: [string, string][] = this.#list ? [...this.#fromList(labels)] : [...this.#fromMap(labels)];
    const read = Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
    this.#known.set(labels, read);
    return read;
  }

  /** labelMap{LabelSet{list []label}}, a label being two strings. */
  *#fromList(labels: Addr): Iterable<[string, string]> {
    const list = this.#memory.ptr(labels);
    const length = this.#memory.word(labels, 8);
    if (length > MAX_LABELS) throw new MemoryFault(labels, `a label set of ${length}`);
    for (let i = 0; i < length; i++) yield this.#pair(plus(list, 32 * i), plus(list, 32 * i + 16));
  }

  /** A pointer to a map[string]string; one that grows has buckets in two arrays. */
  *#fromMap(labels: Addr): Iterable<[string, string]> {
    const map = this.#memory.ptr(labels);
    if (map === 0) return;
    const log = this.#memory.u8(map, HMAP.logBuckets);
    if (log > MAX_LOG_BUCKETS) throw new MemoryFault(map, `a label map of 2^${log} buckets`);
    yield* this.#buckets(this.#memory.ptr(map, HMAP.buckets), 2 ** log);
    const old = this.#memory.ptr(map, HMAP.oldBuckets);
    if (old !== 0) yield* this.#buckets(old, Math.max(1, 2 ** (log - 1)));
  }

  *#buckets(first: Addr, count: number): Iterable<[string, string]> {
    let slots = 0;
    for (let i = 0; i < count; i++) {
      let bucket = first === 0 ? first : plus(first, i * BUCKET.sizeBytes);
      while (bucket !== 0) {
        for (let slot = 0; slot < BUCKET.slots; slot++) {
          if (++slots > MAX_LABELS * 16) throw new MemoryFault(first, 'a label map without end');
          if (this.#memory.u8(bucket, slot) < MIN_TOP_HASH) continue;
          yield this.#pair(plus(bucket, BUCKET.keys + 16 * slot), plus(bucket, BUCKET.values + 16 * slot));
        }
        bucket = this.#memory.ptr(bucket, BUCKET.overflow);
      }
    }
  }

  #pair(key: Addr, value: Addr): [string, string] {
    return [goString(this.#memory, key), goString(this.#memory, value)];
  }
}

const NONE: Readonly<Record<string, string>> = Object.freeze({});
