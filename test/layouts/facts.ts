import type { Arch } from '../../snapshots/arch.js';
import type { ArgumentInfo, GoRelease } from '../../analyze/runtime/releases.js';
import type { StructLayout } from '../../snapshots/image.js';
import type { BuiltProgram } from './built-program.js';
import { waitReasonsOf } from './checks.js';
import type { GoSource } from './toolchain.js';

/** The facts of a record as a toolchain has them; null for one that neither its programs nor its source give. */
export type Facts = { readonly [K in Exclude<keyof GoRelease, 'since'>]: GoRelease[K] | null };

/** Structs that facts are derived from, by their full names. Releases have some of them only. */
export const FACT_STRUCTS = [
  ...['runtime._func', 'runtime.functab', 'runtime.pcHeader', 'runtime.inlinedCall'],
  ...['runtime.schedt', 'runtime.gQueue', 'runtime.sudog', 'runtime.maybeTraceablePtr'],
  ...['runtime/pprof.labelMap', 'runtime/pprof.label', 'internal/runtime/pprof/label.Label'],
  ...['runtime.hmap', 'bucket<string,string>', 'sync.Once'],
  ...['runtime.timersBucket', 'runtime.timers', 'runtime.timerWhen'],
  ...['runtime.maptype', 'internal/abi.SwissMapType', 'internal/abi.MapType'],
];

/**
 * Derives the facts of a release from one of its programs for amd64, which uses pprof labels, and from its source. Of the
 * wait reasons, the one that has the number of that in `record` is looked at.
 */
export function deriveFacts(program: BuiltProgram, source: GoSource, { waitReason }: GoRelease): Facts {
  return {
    pclntab: pclntab(program),
    inlineTree: inlineTree(source),
    inlinedCall: inlinedCall(program),
    funcIDs: funcIDs(source),
    flagsTopFrames: flagsTopFrames(source),
    waitReason: { number: waitReason.number, text: waitReasonsOf(program)[waitReason.number - 1] ?? '' },
    shortens: shortens(source),
    vdsoSpShift: vdsoSpShift(source),
    statusInSyscall: statusInSyscall(source),
    globalQueueLength: globalQueueLength(program),
    sudogPointer: program.struct('runtime.maybeTraceablePtr')?.fields['vu'] ?? 0,
    types: typeFormat(program, source),
    onceMutex: offsetOf(program.struct('sync.Once'), 'm'),
    waitGroupState: source.text('sync/waitgroup.go').includes('state1 [3]uint32') ? 'aligned' : 'first',
    timerHeap: timerHeap(program),
    stackObjects: stackObjects(source),
    stackMapPcdata: source.constant('PCDATA_StackMapIndex', 'internal/abi/symtab.go', 'runtime/symtab.go'),
    argumentInfo: argumentInfo(source),
    registerArguments: registerArguments(source),
    openDefers: openDefers(source),
    finalizerKind: source.constant('KindSpecialFinalizer', 'runtime/mheap.go'),
    labels: labels(program, source),
  };
}

function typeFormat(program: BuiltProgram, source: GoSource): GoRelease['types'] | null {
  const text = source.text('internal/abi/type.go') + source.text('runtime/type.go');
  const names = ['runtime.maptype', 'internal/abi.SwissMapType', 'internal/abi.MapType'];
  const map = names.map((name) => program.struct(name)).find((struct) => struct !== null);
  return whole<GoRelease['types']>({
    nameLength: /\breadvarint\(/i.test(text) ? 'varint' : 'two bytes',
    shiftedOffsets: text.includes('offsetAnon'),
    direct: text.includes('TFlagDirectIface') ? 'tflag' : 'kind',
    mapBytes: map?.sizeBytes ?? null,
  });
}

/** The offset of the first of the fields that the struct has. */
function offsetOf(struct: StructLayout | null, ...names: readonly string[]): number | null {
  const name = names.find((candidate) => struct !== null && Object.hasOwn(struct.fields, candidate));
  return name === undefined ? null : (struct?.fields[name] ?? null);
}

/** All of the values, or null if one of them is. */
function whole<T extends object>(values: { readonly [K in keyof T]: T[K] | null }): T | null {
  return Object.values(values).includes(null) ? null : (values as T);
}

function pclntab(program: BuiltProgram): GoRelease['pclntab'] | null {
  const { magic } = program.table.module.pclntab.format;
  const func = program.struct('runtime._func');
  const entry = program.struct('runtime.functab');
  const funcID = offsetOf(func, 'funcID');
  const nfuncdata = offsetOf(func, 'nfuncdata');
  if (func === null || entry === null || funcID === null) return null;
  const layout = whole<Omit<GoRelease['pclntab']['func'], 'cuOffset'>>({
    name: offsetOf(func, 'nameOff', 'nameoff'),
    pcsp: offsetOf(func, 'pcsp'),
    funcID,
    flag: offsetOf(func, 'flag') ?? funcID + 1,
    nfuncdata,
    // The arrays follow the last field without padding.
    pcdata: nfuncdata === null ? null : nfuncdata + 1,
  });
  if (layout === null) return null;
  return {
    magic,
    ftab: entry.sizeBytes === 16 ? 'addresses' : 'offsets',
    parts: offsetOf(program.struct('runtime.pcHeader'), 'funcnameOffset'),
    func: { ...layout, cuOffset: offsetOf(func, 'cuOffset') },
  };
}

function inlineTree(source: GoSource): GoRelease['inlineTree'] | null {
  const files = ['internal/abi/symtab.go', 'runtime/symtab.go'];
  return whole<GoRelease['inlineTree']>({
    pcdata: source.constant('PCDATA_InlTreeIndex', ...files),
    funcdata: source.constant('FUNCDATA_InlTree', ...files),
  });
}

function inlinedCall(program: BuiltProgram): GoRelease['inlinedCall'] | null {
  const call = program.struct('runtime.inlinedCall');
  if (call === null) return null;
  const common = {
    sizeBytes: call.sizeBytes,
    funcID: offsetOf(call, 'funcID'),
    name: offsetOf(call, 'nameOff', 'func_'),
    parentPc: offsetOf(call, 'parentPc'),
  };
  const parent = offsetOf(call, 'parent');
  return parent === null
    ? whole(common)
    : whole({ ...common, parent, file: offsetOf(call, 'file'), line: offsetOf(call, 'line') });
}

function funcIDs(source: GoSource): GoRelease['funcIDs'] | null {
  const older = source.enumeration('runtime/symtab.go', 'funcID_normal funcID');
  const names = older.length > 0 ? older : source.enumeration('internal/abi/symtab.go', 'FuncIDNormal FuncID');
  if (names.length === 0) return null;
  return ['normal', ...names.slice(1).map((name) => name.replace(/^funcID_?/i, '').replace(/^Wrapper$/, 'wrapper'))];
}

function flagsTopFrames(source: GoSource): boolean {
  return /FuncFlag(_TOPFRAME|TopFrame)\b/i.test(
    source.text('internal/abi/symtab.go') + source.text('runtime/symtab.go'),
  );
}

function shortens(source: GoSource): GoRelease['shortens'] | null {
  const text = source.functionText('runtime/traceback.go', 'funcNamePiecesForPrint');
  if (!text.includes("for name[j] != ']'")) return null;
  return text.includes('interior') ? 'each pair of brackets' : 'to the last bracket';
}

function vdsoSpShift(source: GoSource): GoRelease['vdsoSpShift'] | null {
  const amd64 = source.text('runtime/sys_linux_amd64.s');
  const saved = /LEAQ\t\w+\+0\((SP|FP)\), DX\n(?:.*\n){0,3}\s*MOVQ\tDX, m_vdsoSP\(/.exec(amd64)?.[1];
  const arm64 = source.text('runtime/sys_linux_arm64.s');
  const isCallers = /MOVD\t(R20, m_vdsoSP|\$ret-8\(FP\), R2 .*\n.*\n\s*MOVD\tR2, m_vdsoSP)\(/.test(arm64);
  return whole<GoRelease['vdsoSpShift']>({
    amd64: saved === undefined ? null : saved === 'SP' ? 8 : 0,
    arm64: isCallers ? 0 : null,
  });
}

function statusInSyscall(source: GoSource): GoRelease['statusInSyscall'] | null {
  const text = source.functionText('runtime/proc.go', 'reentersyscall');
  if (text === '') return null;
  return /\b_Psyscall\)/.test(text) ? 'syscall' : 'running';
}

function globalQueueLength(program: BuiltProgram): GoRelease['globalQueueLength'] | null {
  const field = offsetOf(program.struct('runtime.schedt'), 'runqsize') === null ? 'runq' : 'runqsize';
  if (field === 'runqsize') return { field, offset: 0 };
  return whole({ field, offset: offsetOf(program.struct('runtime.gQueue'), 'size') });
}

function timerHeap(program: BuiltProgram): GoRelease['timerHeap'] | null {
  const [bucket, timers] = [program.struct('runtime.timersBucket'), program.struct('runtime.timers')];
  const slice = bucket === null && timers === null ? 0 : (offsetOf(bucket, 't') ?? offsetOf(timers, 'heap'));
  const entryBytes = program.struct('runtime.timerWhen')?.sizeBytes ?? 8;
  return slice === null ? null : { of: bucket === null ? 'p' : 'bucket', slice, entryBytes };
}

function stackObjects(source: GoSource): GoRelease['stackObjects'] | null {
  const record = /^type stackObjectRecord struct \{[^]*?^\}/m.exec(source.text('runtime/stack.go'))?.[0] ?? '';
  return whole<GoRelease['stackObjects']>({
    funcdata: source.constant('FUNCDATA_StackObjects', 'internal/abi/symtab.go', 'runtime/symtab.go'),
    have: /^\s*size\s/m.test(record) ? 'size' : /^\s*typ\s/m.test(record) ? 'type' : null,
    // Three int32, or two words; and a pointer or an offset behind the former.
    recordBytes: /^\s*gcdata\s+\*byte/m.test(record) ? 24 : 16,
  });
}

function argumentInfo(source: GoSource): GoRelease['argumentInfo'] {
  const files = ['internal/abi/symtab.go', 'runtime/symtab.go'];
  const funcdata = source.constant('FUNCDATA_ArgInfo', ...files);
  if (funcdata === null) return null;
  // Printed by gentraceback, after it moved its pc to the outermost call.
  const moves = source.functionText('runtime/traceback.go', 'gentraceback').includes('printArgs(f, argp, tracepc)');
  const liveness = whole<Pick<NonNullable<ArgumentInfo['liveness']>, 'funcdata' | 'pcdata'>>({
    funcdata: source.constant('FUNCDATA_ArgLiveInfo', ...files),
    pcdata: source.constant('PCDATA_ArgLiveIndex', ...files),
  });
  return { funcdata, liveness: liveness === null ? null : { ...liveness, at: moves ? 'outermost call' : 'pc' } };
}

function registerArguments(source: GoSource): GoRelease['registerArguments'] {
  const has = (arch: Arch): boolean => /\bIntArgRegs\s*=\s*[1-9]/.test(source.text(`internal/abi/abi_${arch}.go`));
  return { amd64: has('amd64'), arm64: has('arm64') };
}

function openDefers(source: GoSource): GoRelease['openDefers'] {
  const files = ['internal/abi/symtab.go', 'runtime/symtab.go'];
  const funcdata = source.constant('FUNCDATA_OpenCodedDeferInfo', ...files);
  if (funcdata === null) return null;
  const reader = source.functionText('runtime/panic.go', 'runOpenDeferFrame');
  return { funcdata, lists: reader === '' ? 'array' : /argWidth/.test(reader) ? 'arguments' : 'closures' };
}

function labels(program: BuiltProgram, source: GoSource): GoRelease['labels'] | null {
  if (program.struct('runtime/pprof.labelMap') !== null) {
    const label = program.struct('internal/runtime/pprof/label.Label') ?? program.struct('runtime/pprof.label');
    const pair = whole({
      key: offsetOf(label, 'Key', 'key'),
      value: offsetOf(label, 'Value', 'value'),
      sizeBytes: label?.sizeBytes ?? null,
    });
    return pair === null ? null : { pair };
  }
  const map = program.struct('runtime.hmap');
  const slot = program.struct('bucket<string,string>');
  const hmap = whole({
    logBuckets: offsetOf(map, 'B'),
    buckets: offsetOf(map, 'buckets'),
    oldBuckets: offsetOf(map, 'oldbuckets'),
  });
  const bucket = whole({
    // A byte for each slot, its top hash, comes before the keys.
    slots: offsetOf(slot, 'keys'),
    keys: offsetOf(slot, 'keys'),
    values: offsetOf(slot, 'values', 'elems'),
    overflow: offsetOf(slot, 'overflow'),
    sizeBytes: slot?.sizeBytes ?? null,
    minTopHash: source.constant('minTopHash', 'runtime/map.go'),
  });
  return hmap === null || bucket === null ? null : { hmap, bucket };
}
