import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault, type Memory, type Range } from '../../snapshots/memory.js';
import { findBytes } from './scan.js';

/**
 * The blob that `go version -m` reads (debug/buildinfo). Its flags say which form it has: two pointers to string headers
 * (Go 1.13 to 1.17) or two strings in place (1.18+).
 */
export interface BuildInfo {
  readonly addr: Addr;
  /** `go1.26.8`, as the linker wrote it. */
  readonly goVersion: string;
  /** The module information, or the empty string. */
  readonly modInfo: string;
}

const MAGIC = Uint8Array.from([0xff, ...Buffer.from(' Go buildinf:')]);
const ALIGNMENT = 16;
const HEADER_BYTES = 32;
const INLINE_STRINGS = 2;
export const MAX_STRING = 1 << 20;

/**
 * Finds the build-info blob in the given ranges; null where it was removed, and in programs of Go 1.12. If none names a
 * release of Go, the first that has any text in its place.
 */
export function findBuildInfo(memory: Memory, ranges: Iterable<Range>): BuildInfo | null {
  let other: BuildInfo | null = null;
  for (const at of findBytes(memory, ranges, MAGIC, ALIGNMENT)) {
    const info = onFault(
      () => readBuildInfo(memory, at),
      () => null,
    );
    if (info?.goVersion.includes('go1.') === true) return info;
    if (info !== null && /^[\x20-\x7e]+$/.test(info.goVersion)) other ??= info;
  }
  return other;
}

function readBuildInfo(memory: Memory, at: Addr): BuildInfo {
  if ((memory.u8(at, 15) & INLINE_STRINGS) !== 0) {
    const version = inlineString(memory, plus(at, HEADER_BYTES));
    const mod = inlineString(memory, version.end);
    return { addr: at, goVersion: version.text, modInfo: mod.text };
  }
  return { addr: at, goVersion: pointedString(memory, at, 16), modInfo: pointedString(memory, at, 24) };
}

function inlineString(memory: Memory, at: Addr): { text: string; end: Addr } {
  let length = 0;
  let scale = 1;
  for (let i = 0; i < 5; i++) {
    const byte = memory.u8(at, i);
    length += (byte % 128) * scale;
    scale *= 128;
    if (byte < 128) {
      if (length > MAX_STRING) break;
      const start = plus(at, i + 1);
      return { text: memory.string(start, length), end: plus(start, length) };
    }
  }
  throw new MemoryFault(at, 'a string of the build info is too long');
}

function pointedString(memory: Memory, at: Addr, offset: number): string {
  const header = memory.ptr(at, offset);
  return header === 0 ? '' : goString(memory, header);
}

/** Reads the Go string whose header {data, length} lies at `header`. Throws MemoryFault where it is absent or longer than 1 MB. */
export function goString(memory: Memory, header: Addr): string {
  const length = memory.word(header, 8);
  if (length > MAX_STRING) throw new MemoryFault(header, 'a string header with a length above 1 MB');
  return length === 0 ? '' : memory.string(memory.ptr(header), length);
}
