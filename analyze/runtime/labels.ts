import { plus, type Addr } from '../../snapshots/address.js';
import { Memory, MemoryFault } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';
import type { GoRelease, LabelList, LabelMap } from './releases.js';

/** More labels than any goroutine has: they are set by hand. */
const MAX_LABELS = 1024;
const MAX_LOG_BUCKETS = 8;

/** Reads the pprof labels that a goroutine points at. */
export class LabelReader {
  readonly #memory: Memory;
  readonly #layout: LabelMap | LabelList;
  readonly #known = new Map<Addr, Readonly<Record<string, string>>>();

  constructor(memory: Memory, { labels }: GoRelease) {
    this.#memory = new Memory(memory.source);
    this.#layout = labels;
  }

  /** Labels by key; each label set is read once. Throws MemoryFault where it is absent or damaged. */
  read(labels: Addr): Readonly<Record<string, string>> {
    if (labels === 0) return NONE;
    const known = this.#known.get(labels);
    if (known !== undefined) return known;
    const layout = this.#layout;
    const pairs = 'pair' in layout ? this.#fromList(labels, layout) : this.#fromMap(labels, layout);
    const read = Object.fromEntries([...pairs].sort(([a], [b]) => (a < b ? -1 : 1)));
    this.#known.set(labels, read);
    return read;
  }

  *#fromList(labels: Addr, { pair }: LabelList): Iterable<[string, string]> {
    const list = this.#memory.ptr(labels);
    const length = this.#memory.word(labels, 8);
    if (length > MAX_LABELS) throw new MemoryFault(labels, `a label set of ${length}`);
    for (let i = 0; i < length; i++) {
      const at = plus(list, pair.sizeBytes * i);
      yield this.#pair(plus(at, pair.key), plus(at, pair.value));
    }
  }

  /** `labels` points at a pointer to the map. A map that grows has buckets in two arrays. */
  *#fromMap(labels: Addr, { hmap, bucket }: LabelMap): Iterable<[string, string]> {
    const map = this.#memory.ptr(labels);
    if (map === 0) return;
    const log = this.#memory.u8(map, hmap.logBuckets);
    if (log > MAX_LOG_BUCKETS) throw new MemoryFault(map, `a label map of 2^${log} buckets`);
    yield* this.#fromBuckets(this.#memory.ptr(map, hmap.buckets), 2 ** log, bucket);
    const old = this.#memory.ptr(map, hmap.oldBuckets);
    if (old !== 0) yield* this.#fromBuckets(old, Math.max(1, 2 ** (log - 1)), bucket);
  }

  *#fromBuckets(first: Addr, count: number, layout: LabelMap['bucket']): Iterable<[string, string]> {
    let slots = 0;
    for (let i = 0; i < count; i++) {
      let bucket = first === 0 ? first : plus(first, i * layout.sizeBytes);
      while (bucket !== 0) {
        for (let slot = 0; slot < layout.slots; slot++) {
          if (++slots > MAX_LABELS * 16) throw new MemoryFault(first, 'a label map without end');
          if (this.#memory.u8(bucket, slot) < layout.minTopHash) continue;
          yield this.#pair(plus(bucket, layout.keys + 16 * slot), plus(bucket, layout.values + 16 * slot));
        }
        bucket = this.#memory.ptr(bucket, layout.overflow);
      }
    }
  }

  /** Two Go strings by the addresses of their headers. */
  #pair(key: Addr, value: Addr): [string, string] {
    return [goString(this.#memory, key), goString(this.#memory, value)];
  }
}

const NONE: Readonly<Record<string, string>> = Object.freeze({});
