import { plus, type Addr } from '../../snapshots/address.js';
import { Memory, MemoryFault, onFault } from '../../snapshots/memory.js';
import { goString, MAX_STRING } from '../binary/build-info.js';
import { wordAt } from '../../snapshots/bytes.js';
import { nothing, type PointerWalk } from './pointer-walk.js';
import type { GoRelease, LabelList, LabelMap } from './releases.js';

/** More labels than any goroutine has: they are set by hand. */
const MAX_LABELS = 1024;
const MAX_LOG_BUCKETS = 8;

const MAX_SLOTS = MAX_LABELS * 16;

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
    this.#readWhole(map, hmap.oldBuckets + 8);
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
        this.#readWhole(bucket, layout.sizeBytes);
        for (let slot = 0; slot < layout.slots; slot++) {
          if (++slots > MAX_SLOTS) throw new MemoryFault(first, 'a label map without end');
          if (this.#memory.u8(bucket, slot) < layout.minTopHash) continue;
          yield this.#pair(plus(bucket, layout.keys + 16 * slot), plus(bucket, layout.values + 16 * slot));
        }
        bucket = this.#memory.ptr(bucket, layout.overflow);
      }
    }
  }

  /** Reads what {@link LabelWalk} goes to as one item, so that it is in the plan of a capture as such. Other images may have less. */
  #readWhole(at: Addr, length: number): void {
    onFault(
      () => this.#memory.bytes(at, length),
      () => null,
    );
  }

  /** Two Go strings by the addresses of their headers. */
  #pair(key: Addr, value: Addr): [string, string] {
    return [goString(this.#memory, key), goString(this.#memory, value)];
  }
}

const NONE: Readonly<Record<string, string>> = Object.freeze({});

/** Copies in the stop what {@link LabelReader} reads. */
export class LabelWalk {
  readonly #layout: LabelMap | LabelList;

  constructor({ labels }: GoRelease) {
    this.#layout = labels;
  }

  /** Has a walk go to all that g.labels points to. */
  start(walk: PointerWalk, labels: number): void {
    if ('pair' in this.#layout) walk.want(this.#list, labels, 16);
    else walk.want(this.#map, labels, 8);
  }

  readonly #list = (walk: PointerWalk): void => {
    if (!('pair' in this.#layout)) return;
    const length = wordAt(walk.view, walk.offset + 8);
    if (length > MAX_LABELS) return;
    walk.want(this.#pairs, wordAt(walk.view, walk.offset), this.#layout.pair.sizeBytes * length);
  };

  readonly #pairs = (walk: PointerWalk): void => {
    if (!('pair' in this.#layout)) return;
    const { key, value, sizeBytes } = this.#layout.pair;
    for (let i = 0; i + sizeBytes <= walk.length; i += sizeBytes) {
      wantString(walk, i + key);
      wantString(walk, i + value);
    }
  };

  readonly #map = (walk: PointerWalk): void => {
    if ('pair' in this.#layout) return;
    walk.want(this.#hmap, wordAt(walk.view, walk.offset), this.#layout.hmap.oldBuckets + 8);
  };

  readonly #hmap = (walk: PointerWalk): void => {
    if ('pair' in this.#layout) return;
    const { hmap, bucket } = this.#layout;
    const { view, offset } = walk;
    const log = view.getUint8(offset + hmap.logBuckets);
    if (log > MAX_LOG_BUCKETS) return;
    const most = MAX_SLOTS / bucket.slots;
    walk.want(this.#buckets, wordAt(view, offset + hmap.buckets), 2 ** log * bucket.sizeBytes, 0, most);
    const old = Math.max(1, 2 ** (log - 1)) * bucket.sizeBytes;
    walk.want(this.#buckets, wordAt(view, offset + hmap.oldBuckets), old, 0, most);
  };

  readonly #buckets = (walk: PointerWalk): void => {
    if ('pair' in this.#layout) return;
    const { slots, minTopHash, keys, values, overflow, sizeBytes } = this.#layout.bucket;
    for (let i = 0; i + sizeBytes <= walk.length; i += sizeBytes) {
      for (let slot = 0; slot < slots; slot++) {
        if (walk.view.getUint8(walk.offset + i + slot) < minTopHash) continue;
        wantString(walk, i + keys + 16 * slot);
        wantString(walk, i + values + 16 * slot);
      }
      const next = wordAt(walk.view, walk.offset + i + overflow);
      if (walk.left > 0) walk.want(this.#buckets, next, sizeBytes, 0, walk.left - 1);
    }
  };
}

/** Wants the bytes of the Go string whose header is at an offset in the walk's item, unless it is a constant, as most keys are. */
function wantString(walk: PointerWalk, header: number): void {
  const [at, length] = [wordAt(walk.view, walk.offset + header), wordAt(walk.view, walk.offset + header + 8)];
  if (length <= MAX_STRING && !walk.isConstant(at)) walk.want(nothing, at, length);
}
