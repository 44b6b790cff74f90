import type { Arch } from '../../snapshots/arch.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import type { FuncLayout, PclntabFormat } from '../binary/pclntab.js';
import { HMAP, MIN_TOP_HASH } from '../types/maps.js';
import type { TypeFormat } from '../types/type-format.js';
import layouts from './layouts.json' with { type: 'json' };

/**
 * What differs between Go releases in the runtime, the compiler and the linker, except for struct layouts: those are in
 * layouts.json. A record holds from its release up to the next record's. Facts that hold for all releases are stated
 * where they are used. `npm run layouts -- VERSION` holds each fact against a toolchain.
 */
export interface GoRelease {
  /** The first minor release that the record holds for. */
  readonly since: number;
  /** How the linker writes the function table: cmd/link/internal/ld/pcln.go; read by runtime/symtab.go. */
  readonly pclntab: PclntabFormat;
  /** PCDATA_InlTreeIndex and FUNCDATA_InlTree: internal/abi/symtab.go; runtime/symtab.go before 1.21. */
  readonly inlineTree: { readonly pcdata: number; readonly funcdata: number };
  /** Byte offsets in an entry of the inline tree: runtime/symtabinl.go; runtime/symtab.go before 1.20. */
  readonly inlinedCall: InlinedCallByPc | InlinedCallByParent;
  /**
   * What _func.funcID means, by number: functions of package runtime without its name, and last `wrapper` for all those
   * that the compiler made: internal/abi/symtab.go; runtime/symtab.go before 1.21.
   */
  readonly funcIDs: readonly string[];
  /** True where _func.flag says which functions are outermost: runtime/symtab.go. */
  readonly flagsTopFrames: boolean;
  /** A wait reason by which the release can be told from all before it: waitReasonStrings in runtime/runtime2.go. */
  readonly waitReason: { readonly number: number; readonly text: string };
  /**
   * Which type arguments a traceback replaces by `[...]`: everything from the first `[` to the last `]`, or what is in
   * each outermost pair of brackets: funcNamePiecesForPrint in runtime/traceback.go. Before 1.21 names have none in full.
   */
  readonly shortens: 'to the last bracket' | 'each pair of brackets';
  /** Bytes from m.vdsoSP to the stack pointer of the vDSO's caller: nanotime1 and walltime in runtime/sys_linux_*.s. */
  readonly vdsoSpShift: Readonly<Record<Arch, number>>;
  /** The status of a P whose goroutine is in a system call: entersyscall in runtime/proc.go. */
  readonly statusInSyscall: 'syscall' | 'running';
  /** The length of the global run queue: a field of schedt and an offset in it. runtime/runtime2.go; gQueue in proc.go. */
  readonly globalQueueLength: { readonly field: string; readonly offset: number };
  /** Offset of the address in sudog.elem and sudog.c: maybeTraceablePtr.vu since 1.26. runtime/runtime2.go. */
  readonly sudogPointer: number;
  /** How type descriptors are written. */
  readonly types: TypeFormat;
  /** Offset of the Mutex in a sync.Once: sync/once.go. */
  readonly onceMutex: number;
  /** Where a sync.WaitGroup has its 64 bits of state: at an aligned place in three words, or first. sync/waitgroup.go. */
  readonly waitGroupState: 'aligned' | 'first';
  /**
   * Where a heap of timers is: a slice at an offset in a timersBucket, or in p.timers; and the size of its entries, which
   * begin with the address of a timer. runtime/time.go; p in runtime/runtime2.go.
   */
  readonly timerHeap: { readonly of: 'bucket' | 'p'; readonly slice: number; readonly entryBytes: number };
  /**
   * FUNCDATA_StackObjects (internal/abi/symtab.go; runtime/symtab.go before 1.21), whether the records there have the
   * size of an object, or a pointer to its type, and bytes of a record: stackObjectRecord in runtime/stack.go.
   */
  readonly stackObjects: {
    readonly funcdata: number;
    readonly have: 'type' | 'size';
    readonly recordBytes: number;
  };
  /**
   * PCDATA_StackMapIndex: which of a function's pointer maps holds. internal/abi/symtab.go; runtime/symtab.go before 1.21.
   */
  readonly stackMapPcdata: number;
  /** null where tracebacks print all words of the arguments and results: gentraceback in runtime/traceback.go. */
  readonly argumentInfo: ArgumentInfo | null;
  /** True where arguments are passed in registers: ABIInternal in cmd/compile/abi-internal.md. */
  readonly registerArguments: Readonly<Record<Arch, boolean>>;
  /**
   * FUNCDATA_OpenCodedDeferInfo (internal/abi/funcdata.go; runtime/funcdata.go before 1.21), and what it lists after the
   * offset of the bits that say which calls are pending (emitOpenDeferInfo in cmd/compile/internal/ssagen/ssa.go, gc/ssa.go
   * before 1.17): each call with its closure and arguments, the offset of each closure, or that of an array of closures.
   * null where functions have none.
   */
  readonly openDefers: {
    readonly funcdata: number;
    readonly lists: 'arguments' | 'closures' | 'array';
  } | null;
  /** special.kind of a finalizer: _KindSpecialFinalizer in runtime/mheap.go. */
  readonly finalizerKind: number;
  /** What g.labels points at: labelMap in runtime/pprof/label.go; internal/runtime/pprof/label since 1.26. */
  readonly labels: LabelMap | LabelList;
}

/**
 * How a traceback finds the arguments of a function (printArgs in runtime/traceback.go): FUNCDATA_ArgInfo, and
 * FUNCDATA_ArgLiveInfo and PCDATA_ArgLiveIndex, null where nothing tells which are live. `at` says where the latter is looked
 * up: at the pc itself, or at the outermost call that is inlined there. internal/abi/symtab.go; runtime/symtab.go before 1.21.
 */
export interface ArgumentInfo {
  readonly funcdata: number;
  readonly liveness: {
    readonly funcdata: number;
    readonly pcdata: number;
    readonly at: 'outermost call' | 'pc';
  } | null;
}

/** The caller is at the instruction `parentPc`, an offset from the function's entry. */
export interface InlinedCallByPc {
  readonly sizeBytes: number;
  readonly funcID: number;
  readonly name: number;
  readonly parentPc: number;
}

/** The caller is the entry with the index `parent`, an int16, or the function itself; at `file` and `line`. */
export interface InlinedCallByParent {
  readonly sizeBytes: number;
  readonly funcID: number;
  readonly name: number;
  readonly parent: number;
  readonly file: number;
  readonly line: number;
  /** As {@link InlinedCallByPc.parentPc}. */
  readonly parentPc: number;
}

/** A map[string]string. Byte offsets in hmap and in its buckets, each with the top hashes of its slots at 0: runtime/map.go. */
export interface LabelMap {
  readonly hmap: { readonly logBuckets: number; readonly buckets: number; readonly oldBuckets: number };
  readonly bucket: {
    readonly slots: number;
    readonly keys: number;
    readonly values: number;
    readonly overflow: number;
    readonly sizeBytes: number;
    /** Slots with a smaller top hash are empty. */
    readonly minTopHash: number;
  };
}

/** A slice of pairs of strings. */
export interface LabelList {
  readonly pair: { readonly key: number; readonly value: number; readonly sizeBytes: number };
}

/** runtime._func in each format: runtime/runtime2.go. */
const FUNC_1_16: FuncLayout = { name: 8, pcsp: 20, cuOffset: 36, funcID: 40, flag: 41, nfuncdata: 43, pcdata: 44 };
const FUNC_1_18: FuncLayout = { name: 4, pcsp: 16, cuOffset: 32, funcID: 36, flag: 37, nfuncdata: 39, pcdata: 40 };
const FUNC_1_20: FuncLayout = { name: 4, pcsp: 16, cuOffset: 32, funcID: 40, flag: 41, nfuncdata: 43, pcdata: 44 };

/** The first is `normal` for all other functions. */
const FUNC_IDS_1_12 = [
  ...[
    'normal',
    'runtime_main',
    'goexit',
    'jmpdefer',
    'mcall',
    'morestack',
    'mstart',
    'rt0_go',
    'asmcgocall',
    'sigpanic',
  ],
  ...['runfinq', 'gcBgMarkWorker', 'systemstack_switch', 'systemstack', 'cgocallback_gofunc', 'gogo'],
  ...['externalthreadhandler', 'debugCallV1', 'gopanic', 'panicwrap', 'wrapper'],
];
const FUNC_IDS_1_14 = FUNC_IDS_1_12.toSpliced(-1, 0, 'handleAsyncEvent', 'asyncPreempt');
const FUNC_IDS_1_16 = FUNC_IDS_1_14.map((name) => (name === 'cgocallback_gofunc' ? 'cgocallback' : name));
/** Sorted by name since. */
const FUNC_IDS_1_17 = [
  ...[
    'normal',
    'abort',
    'asmcgocall',
    'asyncPreempt',
    'cgocallback',
    'debugCallV2',
    'gcBgMarkWorker',
    'goexit',
    'gogo',
  ],
  ...['gopanic', 'handleAsyncEvent', 'jmpdefer', 'mcall', 'morestack', 'mstart', 'panicwrap', 'rt0_go', 'runfinq'],
  ...['runtime_main', 'sigpanic', 'systemstack', 'systemstack_switch', 'wrapper'],
];
const FUNC_IDS_1_18 = FUNC_IDS_1_17.filter((name) => name !== 'jmpdefer');
const FUNC_IDS_1_22 = FUNC_IDS_1_18.toSpliced(FUNC_IDS_1_18.indexOf('debugCallV2'), 0, 'corostart');
const FUNC_IDS_1_25 = FUNC_IDS_1_22.filter((name) => name !== 'runfinq').flatMap((name) =>
  name === 'runtime_main' ? [name, 'runFinalizers', 'runCleanups'] : name,
);

const GO_1_12: GoRelease = {
  since: 12,
  pclntab: {
    magic: 0xfffffffb,
    ftab: 'addresses',
    parts: null,
    func: { name: 8, pcsp: 20, cuOffset: null, funcID: 36, flag: 37, nfuncdata: 39, pcdata: 40 },
  },
  inlineTree: { pcdata: 1, funcdata: 2 },
  inlinedCall: { sizeBytes: 20, parent: 0, funcID: 2, file: 4, line: 8, name: 12, parentPc: 16 },
  funcIDs: FUNC_IDS_1_12,
  flagsTopFrames: false,
  waitReason: { number: 23, text: 'GC worker (idle)' },
  shortens: 'to the last bracket',
  vdsoSpShift: { amd64: 8, arm64: 0 },
  statusInSyscall: 'syscall',
  globalQueueLength: { field: 'runqsize', offset: 0 },
  sudogPointer: 0,
  types: { nameLength: 'two bytes', shiftedOffsets: true, direct: 'kind', mapBytes: 80 },
  onceMutex: 0,
  waitGroupState: 'aligned',
  timerHeap: { of: 'bucket', slice: 40, entryBytes: 8 },
  stackObjects: { funcdata: 4, have: 'type', recordBytes: 16 },
  stackMapPcdata: 0,
  argumentInfo: null,
  registerArguments: { amd64: false, arm64: false },
  openDefers: null,
  finalizerKind: 1,
  labels: {
    hmap: HMAP,
    bucket: {
      slots: 8,
      keys: 8,
      values: 8 + 8 * 16,
      overflow: 8 + 16 * 16,
      sizeBytes: 16 + 16 * 16,
      minTopHash: MIN_TOP_HASH,
    },
  },
};

const GO_1_13: GoRelease = {
  ...GO_1_12,
  since: 13,
  stackMapPcdata: 1,
  inlineTree: { pcdata: 2, funcdata: 4 },
  stackObjects: { funcdata: 3, have: 'type', recordBytes: 16 },
  waitReason: { number: 24, text: 'GC worker (idle)' },
  onceMutex: 4,
};

const GO_1_14: GoRelease = {
  ...GO_1_13,
  since: 14,
  types: { ...GO_1_13.types, mapBytes: 88 },
  funcIDs: FUNC_IDS_1_14,
  waitReason: { number: 25, text: 'preempted' },
  vdsoSpShift: { amd64: 0, arm64: 0 },
  timerHeap: { of: 'p', slice: 0, entryBytes: 8 },
  openDefers: { funcdata: 5, lists: 'arguments' },
};

const GO_1_15: GoRelease = { ...GO_1_14, since: 15, waitReason: { number: 26, text: 'debug call' } };

const GO_1_16: GoRelease = {
  ...GO_1_15,
  since: 16,
  funcIDs: FUNC_IDS_1_16,
  pclntab: { magic: 0xfffffffa, ftab: 'addresses', parts: 24, func: FUNC_1_16 },
  inlineTree: { pcdata: 2, funcdata: 3 },
  stackObjects: { funcdata: 2, have: 'type', recordBytes: 16 },
  openDefers: { funcdata: 4, lists: 'arguments' },
};

const GO_1_17: GoRelease = {
  ...GO_1_16,
  since: 17,
  funcIDs: FUNC_IDS_1_17,
  flagsTopFrames: true,
  types: { ...GO_1_16.types, nameLength: 'varint' },
  stackObjects: { funcdata: 2, have: 'size', recordBytes: 24 },
  argumentInfo: { funcdata: 5, liveness: null },
  registerArguments: { amd64: true, arm64: false },
};

const GO_1_18: GoRelease = {
  ...GO_1_17,
  since: 18,
  pclntab: { magic: 0xfffffff0, ftab: 'offsets', parts: 32, func: FUNC_1_18 },
  funcIDs: FUNC_IDS_1_18,
  stackObjects: { funcdata: 2, have: 'size', recordBytes: 16 },
  argumentInfo: { funcdata: 5, liveness: { funcdata: 6, pcdata: 3, at: 'outermost call' } },
  registerArguments: { amd64: true, arm64: true },
  waitGroupState: 'first',
  openDefers: { funcdata: 4, lists: 'closures' },
};

const GO_1_19: GoRelease = { ...GO_1_18, since: 19, types: { ...GO_1_18.types, shiftedOffsets: false } };

const GO_1_20: GoRelease = {
  ...GO_1_19,
  since: 20,
  pclntab: { magic: 0xfffffff1, ftab: 'offsets', parts: 32, func: FUNC_1_20 },
  inlinedCall: { sizeBytes: 16, funcID: 0, name: 4, parentPc: 8 },
  waitReason: { number: 31, text: 'stopping the world' },
};

const GO_1_21: GoRelease = {
  ...GO_1_20,
  since: 21,
  argumentInfo: { funcdata: 5, liveness: { funcdata: 6, pcdata: 3, at: 'pc' } },
};

const GO_1_22: GoRelease = {
  ...GO_1_21,
  since: 22,
  funcIDs: FUNC_IDS_1_22,
  openDefers: { funcdata: 4, lists: 'array' },
  waitReason: { number: 36, text: 'coroutine' },
};

const GO_1_23: GoRelease = { ...GO_1_22, since: 23, timerHeap: { of: 'p', slice: 8, entryBytes: 16 } };

const GO_1_24: GoRelease = {
  ...GO_1_23,
  since: 24,
  waitReason: { number: 43, text: 'select (synctest)' },
  labels: { pair: { key: 0, value: 16, sizeBytes: 32 } },
  types: { ...GO_1_23.types, mapBytes: 112 },
};

const GO_1_25: GoRelease = {
  ...GO_1_24,
  since: 25,
  funcIDs: FUNC_IDS_1_25,
  waitReason: { number: 46, text: 'cleanup wait' },
  globalQueueLength: { field: 'runq', offset: 16 },
  finalizerKind: 2,
};

const GO_1_26: GoRelease = {
  ...GO_1_25,
  since: 26,
  statusInSyscall: 'running',
  sudogPointer: 8,
  types: { ...GO_1_25.types, direct: 'tflag' },
};

const GO_1_27: GoRelease = {
  ...GO_1_26,
  since: 27,
  shortens: 'each pair of brackets',
  types: { ...GO_1_26.types, mapBytes: 136 },
};

/** Oldest first. */
export const RELEASES: readonly GoRelease[] = [
  ...[
    GO_1_12,
    GO_1_13,
    GO_1_14,
    GO_1_15,
    GO_1_16,
    GO_1_17,
    GO_1_18,
    GO_1_19,
    GO_1_20,
    GO_1_21,
    GO_1_22,
    GO_1_23,
    GO_1_24,
    GO_1_25,
    GO_1_26,
    GO_1_27,
  ],
];

/** The record for a release; for one before or after the known ones, the nearest record. */
export function releaseOf({ minor }: Pick<GoVersion, 'minor'>): GoRelease {
  return RELEASES.findLast(({ since }) => since <= minor) ?? GO_1_12;
}

/** Every format of the function table, for searches while the release is not known. */
export const PCLNTAB_FORMATS: readonly PclntabFormat[] = [...new Set(RELEASES.map(({ pclntab }) => pclntab))];

/** The oldest and newest release of layouts.json. */
export const OLDEST = versionOf(layouts.g[0]?.from);
export const NEWEST = versionOf(layouts.g.at(-1)?.to);

/** `Go 1.12 to 1.27`, for messages. */
export const KNOWN_RELEASES = `Go 1.${OLDEST.minor} to 1.${NEWEST.minor}`;

/** Parses a version of layouts.json; throws RangeError for other text. */
export function versionOf(text = ''): GoVersion {
  const parsed = parseGoVersion(`go${text}`);
  if (parsed === null) throw new RangeError(`layouts.json: ${text} is not a Go version`);
  return parsed;
}
