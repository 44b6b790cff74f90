import type { Addr } from '../address.js';
import { firstIndex } from '../binary-search.js';
import type { Mapping } from '../image.js';
import { firstWins, type Interval, type Piece } from '../overlaps.js';
import type { MappedFile } from './core-notes.js';
import { SegmentType, type ElfSegment } from './headers.js';

/** Gaps between the segments of a program are smaller than this: the largest page size that linkers align to. */
const SEGMENT_GAP = 2 ** 16;

/**
 * Returns the mappings of a core: its PT_LOAD segments, with the paths of the files that NT_FILE lists there. Files that
 * only NT_FILE lists, since debuggers leave their segments out, become read-only mappings.
 */
export function coreMappings(segments: readonly ElfSegment[], files: readonly MappedFile[]): Mapping[] {
  const loads = segments.filter(({ type }) => type === SegmentType.load);
  const spans = loads.map(({ vaddr, memSize }) => ({ lo: vaddr, hi: vaddr + memSize }));
  const named = firstWins(files.map(({ start, end }) => ({ lo: start, hi: end })));
  const out: Mapping[] = [];
  for (const { lo, hi, owner } of firstWins([...spans, ...named])) {
    const segment = loads[owner];
    for (const part of split({ lo, hi }, named)) {
      const file = part.owner === null ? undefined : files[part.owner];
      out.push({
        start: part.lo as Addr,
        end: part.hi as Addr,
        // Without a segment, only NT_FILE lists the memory.
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

/** Splits an interval where the ascending `pieces` start and end. `owner` is null outside of all pieces. */
function* split(whole: Interval, pieces: readonly Piece[]): Iterable<Interval & { owner: number | null }> {
  let at = whole.lo;
  for (let i = firstIndex(pieces.length, (n) => (pieces[n]?.hi ?? Infinity) > whole.lo); i < pieces.length; i++) {
    const piece = pieces[i];
    if (piece === undefined || piece.lo >= whole.hi) break;
    if (piece.lo > at) yield { lo: at, hi: piece.lo, owner: null };
    const lo = Math.max(at, piece.lo);
    at = Math.min(whole.hi, piece.hi);
    yield { lo, hi: at, owner: piece.owner };
  }
  if (at < whole.hi) yield { lo: at, hi: whole.hi, owner: null };
}

/** Gives a path to the nameless mapping at `addr` and to nameless neighbours that lie as close as segments do. */
export function namedAround(mappings: readonly Mapping[], addr: number, path: string): readonly Mapping[] {
  const home = mappings.findIndex(({ start, end }) => addr >= start && addr < end);
  if (home < 0 || mappings[home]?.path !== '') return mappings;
  const belongTogether = (a: number, b: number): boolean => {
    const [lower, upper] = [mappings[a], mappings[b]];
    if (lower === undefined || upper === undefined) return false;
    return lower.path === '' && upper.path === '' && upper.start - lower.end < SEGMENT_GAP;
  };
  let [first, last] = [home, home];
  while (belongTogether(first - 1, first)) first--;
  while (belongTogether(last, last + 1)) last++;
  return mappings.map((mapping, i) => (i >= first && i <= last ? { ...mapping, path } : mapping));
}
