/** A half-open interval [lo, hi) of addresses or offsets. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
}

/** A part of the interval at index `owner` of a list. */
export interface Piece extends Interval {
  readonly owner: number;
}

/**
 * Cuts intervals so that none overlap: where several contain a byte, the first of the list keeps it. Empty intervals are
 * dropped. The pieces come in ascending order. Takes O(n log n), even if all intervals overlap.
 */
export function firstWins(ranges: readonly Interval[]): Piece[] {
  const byStart = ranges
    .map(({ lo, hi }, owner): Piece => ({ lo, hi, owner }))
    .filter(({ lo, hi }) => lo < hi)
    .sort((a, b) => a.lo - b.lo || a.owner - b.owner);
  const out: Piece[] = [];
  const open = new OwnerHeap();
  let next = 0;
  let at = 0;
  for (;;) {
    let top = open.top();
    while (top !== undefined && top.hi <= at) {
      open.pop();
      top = open.top();
    }
    const coming = byStart[next];
    if (coming !== undefined && (top === undefined || coming.lo <= at)) {
      at = Math.max(at, coming.lo);
      open.push(coming);
      next++;
      continue;
    }
    if (top === undefined) return out;
    const end = coming === undefined ? top.hi : Math.min(top.hi, coming.lo);
    const last = out[out.length - 1];
    if (last?.owner === top.owner && last.hi === at) out[out.length - 1] = { lo: last.lo, hi: end, owner: top.owner };
    else out.push({ lo: at, hi: end, owner: top.owner });
    at = end;
  }
}

/** A binary heap with the lowest owner on top. */
class OwnerHeap {
  readonly #items: Piece[] = [];

  top(): Piece | undefined {
    return this.#items[0];
  }

  push(item: Piece): void {
    const items = this.#items;
    let i = items.push(item) - 1;
    while (i > 0) {
      const parent = Math.floor((i - 1) / 2);
      const above = items[parent];
      if (above === undefined || above.owner <= item.owner) break;
      items[i] = above;
      i = parent;
    }
    items[i] = item;
  }

  pop(): void {
    const items = this.#items;
    const item = items.pop();
    if (item === undefined || items.length === 0) return;
    let i = 0;
    for (;;) {
      const left = 2 * i + 1;
      const right = left + 1;
      const child = (items[right]?.owner ?? Infinity) < (items[left]?.owner ?? Infinity) ? right : left;
      const below = items[child];
      if (below === undefined || below.owner >= item.owner) break;
      items[i] = below;
      i = child;
    }
    items[i] = item;
  }
}
