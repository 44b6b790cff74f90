import type { Addr } from '../address.js';
import type { Mapping } from '../image.js';
import { firstWins } from '../overlaps.js';
import type { MappedFile } from './core-notes.js';
import { SegmentType, type ElfSegment } from './headers.js';

/** Segments of a program lie no further apart than this: the largest page size that linkers align to. */
const SEGMENT_GAP = 2 ** 16;

interface Span {
  readonly lo: number;
  readonly hi: number;
}

/**
 * The mappings of a core: its PT_LOAD segments, with the files that NT_FILE says lie there; and what only NT_FILE knows
 * of, which debuggers leave out, as read-only.
 */
export function coreMappings(segments: readonly ElfSegment[], files: readonly MappedFile[]): Mapping[] {
  const loads = segments.filter(({ type }) => type === SegmentType.load);
  const spans = loads.map(({ vaddr, memSize }) => ({ lo: vaddr, hi: vaddr + memSize }));
  const named = firstWins(files.map(({ start, end }) => ({ lo: start, hi: end })));
  const out: Mapping[] = [];
  for (const { lo, hi, owner } of firstWins([...spans, ...named])) {
    const segment = loads[owner];
    for (const part of cutBy({ lo, hi }, named)) {
      const file = part.owner === null ? undefined : files[part.owner];
      out.push({
        start: part.lo as Addr,
        end: part.hi as Addr,
        // Debuggers drop the flags of memory that the process itself could not read.
        readable: segment?.readable ?? true,
        writable: segment?.writable ?? false,
        executable: segment?.executable ?? false,
        fileOffset: file === undefined ? 0 : file.fileOffset + (part.lo - file.start),
        path: file?.path ?? '',
      });
    }
  }
  return out;
}

/** `span` cut where ranges of `by`, ascending, begin and end; `owner` is null outside of them. */
function* cutBy(span: Span, by: readonly (Span & { owner: number })[]): Iterable<Span & { owner: number | null }> {
  let at = span.lo;
  for (let i = firstEndingAbove(by, span.lo); i < by.length; i++) {
    const range = by[i];
    if (range === undefined || range.lo >= span.hi) break;
    if (range.lo > at) yield { lo: at, hi: range.lo, owner: null };
    const lo = Math.max(at, range.lo);
    at = Math.min(span.hi, range.hi);
    yield { lo, hi: at, owner: range.owner };
  }
  if (at < span.hi) yield { lo: at, hi: span.hi, owner: null };
}

function firstEndingAbove(ranges: readonly Span[], addr: number): number {
  let lo = 0;
  let hi = ranges.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if ((ranges[mid]?.hi ?? Infinity) <= addr) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/** Gives the nameless mappings around `addr` a path: those that lie as the segments of one program do. */
export function namedAround(mappings: readonly Mapping[], addr: number, path: string): readonly Mapping[] {
  const home = mappings.findIndex(({ start, end }) => addr >= start && addr < end);
  if (home < 0 || mappings[home]?.path !== '') return mappings;
  const adjoins = (a: number, b: number): boolean => {
    const [lower, upper] = [mappings[a], mappings[b]];
    if (lower === undefined || upper === undefined) return false;
    return lower.path === '' && upper.path === '' && upper.start - lower.end < SEGMENT_GAP;
  };
  let [first, last] = [home, home];
  while (adjoins(first - 1, first)) first--;
  while (adjoins(last, last + 1)) last++;
  return mappings.map((mapping, i) => (i >= first && i <= last ? { ...mapping, path } : mapping));
}
