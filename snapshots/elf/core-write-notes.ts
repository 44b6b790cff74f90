import { basename } from 'node:path';
import type { Addr } from '../address.js';
import type { Mapping, ProcessImage, Thread } from '../image.js';
import { onFault } from '../memory.js';
import { registerSetSize } from '../registers.js';
import { Auxv, CoreNote, PRPSINFO, PRSTATUS } from './core-notes.js';
import { ELF_MAGIC, SEGMENT_BYTES } from './headers.js';

const PAGE = 4096;
/** AT_PHENT and AT_PAGESZ, which debuggers expect too. */
const AUXV_PHENT = 4;
const AUXV_PAGESZ = 6;
const SIGINFO_BYTES = 128;

/** Builds the notes of a core in the kernel's order: the thread that received the signal comes first. */
export function buildCoreNotes(image: ProcessImage): Uint8Array {
  const { signal } = image;
  const threads = [...image.threads].sort((a, b) => Number(received(b, signal)) - Number(received(a, signal)));
  const [first, ...others] = threads;
  const notes = [
    ...(first === undefined ? [] : [note(CoreNote.prstatus, prstatus(image, first))]),
    note(CoreNote.prpsinfo, prpsinfo(image)),
    ...(signal === null ? [] : [note(CoreNote.siginfo, siginfo(signal))]),
    note(CoreNote.auxv, auxv(image)),
    note(CoreNote.file, mappedFiles(image.mappings)),
    ...others.map((thread) => note(CoreNote.prstatus, prstatus(image, thread))),
  ];
  return Buffer.concat(notes);
}

function received({ namespaceTid }: Thread, signal: ProcessImage['signal']): boolean {
  return signal?.tid === namespaceTid;
}

function note(type: number, content: Uint8Array): Uint8Array {
  const owner = Buffer.from('CORE\0\0\0\0');
  const head = new DataView(new ArrayBuffer(12));
  head.setUint32(0, 5, true);
  head.setUint32(4, content.length, true);
  head.setUint32(8, type, true);
  return Buffer.concat([new Uint8Array(head.buffer), owner, content, new Uint8Array((4 - (content.length % 4)) % 4)]);
}

/** Builds NT_PRSTATUS of a thread. Unknown registers are zero. */
function prstatus({ arch, signal, pid, host }: ProcessImage, thread: Thread): Uint8Array {
  const size = registerSetSize(arch);
  const bytes = new Uint8Array(PRSTATUS.registers + size + 8);
  const view = new DataView(bytes.buffer);
  if (received(thread, signal)) {
    view.setUint32(0, signal?.number ?? 0, true);
    view.setUint16(PRSTATUS.cursig, signal?.number ?? 0, true);
  }
  view.setUint32(PRSTATUS.pid, thread.namespaceTid, true);
  view.setUint32(PRSTATUS.pid + 4, host.namespacePids.at(-1) ?? pid, true);
  if (thread.registers !== null) bytes.set(thread.registers.bytes.subarray(0, size), PRSTATUS.registers);
  return bytes;
}

function prpsinfo({ executable, pid, host }: ProcessImage): Uint8Array {
  const bytes = new Uint8Array(PRPSINFO.sizeBytes);
  new DataView(bytes.buffer).setUint32(PRPSINFO.pid, host.namespacePids.at(-1) ?? pid, true);
  bytes.set(Buffer.from(basename(executable.path)).subarray(0, PRPSINFO.psargs - PRPSINFO.fname - 1), PRPSINFO.fname);
  bytes.set(Buffer.from(executable.path).subarray(0, PRPSINFO.sizeBytes - PRPSINFO.psargs - 1), PRPSINFO.psargs);
  return bytes;
}

function siginfo({ number, code, addr }: NonNullable<ProcessImage['signal']>): Uint8Array {
  const view = new DataView(new ArrayBuffer(SIGINFO_BYTES));
  view.setUint32(0, number, true);
  view.setInt32(8, code, true);
  if (addr !== null) view.setBigUint64(16, BigInt(addr), true);
  return new Uint8Array(view.buffer);
}

/**
 * Builds the auxiliary vector. Debuggers use AT_ENTRY to find where a position-independent program was loaded. It is
 * computed from the program's ELF header in memory, if that is there.
 */
function auxv(image: ProcessImage): Uint8Array {
  const entries: [number, number][] = [[AUXV_PAGESZ, PAGE]];
  const header = image.mappings.find(({ path, fileOffset }) => path === image.executable.path && fileOffset === 0);
  if (header !== undefined) entries.push(...headerEntries(image, header.start));
  entries.push([0, 0]);
  const view = new DataView(new ArrayBuffer(16 * entries.length));
  for (const [i, [type, value]] of entries.entries()) {
    view.setBigUint64(16 * i, BigInt(type), true);
    view.setBigUint64(16 * i + 8, BigInt(value), true);
  }
  return new Uint8Array(view.buffer);
}

/** Returns the entries that the ELF header at `base` determines; none if it is not in the image. */
function headerEntries({ memory }: ProcessImage, base: Addr): [number, number][] {
  return onFault(
    () => {
      if (memory.u32(base) !== ELF_MAGIC) return [];
      const POSITION_INDEPENDENT = 3;
      const bias = memory.u16(base, 16) === POSITION_INDEPENDENT ? base - lowestSegment(memory, base) : 0;
      return [
        [Auxv.phdr, base + memory.word(base, 32)],
        [AUXV_PHENT, SEGMENT_BYTES],
        [Auxv.phnum, memory.u16(base, 56)],
        [Auxv.entry, memory.word(base, 24) + bias],
      ] satisfies [number, number][];
    },
    () => [],
  );
}

/** Returns the link-time address of the page that is loaded first. */
function lowestSegment(memory: ProcessImage['memory'], base: Addr): number {
  const table = memory.word(base, 32);
  const count = memory.u16(base, 56);
  let lowest = Infinity;
  for (let i = 0; i < count; i++) {
    const at = table + SEGMENT_BYTES * i;
    if (memory.u32(base, at) === 1) lowest = Math.min(lowest, memory.word(base, at + 16));
  }
  return lowest === Infinity ? 0 : lowest - (lowest % PAGE);
}

/** Builds NT_FILE: a count, the page size, start, end and offset in pages of each file, then the names. */
function mappedFiles(mappings: readonly Mapping[]): Uint8Array {
  const files = mappings.filter(({ path }) => path.startsWith('/'));
  const view = new DataView(new ArrayBuffer(16 + 24 * files.length));
  view.setBigUint64(0, BigInt(files.length), true);
  view.setBigUint64(8, BigInt(PAGE), true);
  for (const [i, { start, end, fileOffset }] of files.entries()) {
    for (const [j, value] of [start, end, Math.floor(fileOffset / PAGE)].entries()) {
      view.setBigUint64(16 + 24 * i + 8 * j, BigInt(value), true);
    }
  }
  return Buffer.concat([new Uint8Array(view.buffer), Buffer.from(files.map(({ path }) => `${path}\0`).join(''))]);
}
