import type { Arch } from '../arch.js';
import { BytesError } from '../bytes.js';
import { quoted, shortened, unsupported } from '../errors.js';
import type {
  CaptureFacts,
  Executable,
  HostFacts,
  Mapping,
  NativeFunction,
  ProcessImage,
  StructLayout,
  Thread,
} from '../image.js';
import { Registers, registerSetSize } from '../registers.js';
import type { FatalSignal } from '../signals.js';
import { Fields, toAddress, toCount } from './fields.js';
import { pack } from './msgpack.js';

/** An image without its memory, and without what has a section of its own. */
export type Facts = Omit<ProcessImage, 'memory' | 'kind' | 'leaks' | 'work' | 'decoders'>;

/** Encodes the msgpack object of the facts section. */
export function packFacts(facts: Facts): Buffer {
  return pack({
    arch: facts.arch,
    pid: facts.pid,
    threads: facts.threads.map(plainThread),
    mappings: facts.mappings.map(plainMapping),
    executable: plainExecutable(facts.executable),
    host: plainHost(facts.host),
    capture: plainCapture(facts.capture),
    structs: plainStructs(facts.structs),
    signal: plainSignal(facts.signal),
  } satisfies Plain<Facts>);
}

/**
 * Reads the facts from the decoded facts section. Throws BytesError if a field is missing or has an impossible value, and
 * {@link unsupported} for a CPU that only a newer gospy knows.
 */
export function readFacts(value: unknown): Facts {
  const fields = new Fields(value, 'facts');
  const arch = readArch(fields.text('arch'));
  return {
    arch,
    pid: fields.count('pid'),
    threads: fields.list('threads', (item, where) => readThread(new Fields(item, where), arch)),
    mappings: readMappings(fields),
    executable: readExecutable(fields.map('executable')),
    host: readHost(fields.map('host')),
    capture: readCapture(fields.map('capture')),
    structs: fields.has('structs') ? readStructs(fields) : new Map(),
    signal: readSignal(fields),
  };
}

/** Checks that `arch` is a CPU that can be read. Throws {@link unsupported} if it is not. */
export function readArch(arch: string): Arch {
  if (arch === 'amd64' || arch === 'arm64') return arch;
  throw unsupported(`the snapshot is of the CPU ${quoted(arch)}; this gospy reads amd64 and arm64`, {
    hint: 'use a newer gospy',
  });
}

/** An object with a value for every field of T, so that a field added to the image but not here does not compile. */
type Plain<T> = Record<keyof T, unknown>;

function plainThread({ tid, namespaceTid, name, state, registers, native }: Thread): Plain<Thread> {
  return { tid, namespaceTid, name, state, registers: registers?.bytes ?? null, native: plainNative(native) };
}

function readThread(fields: Fields, arch: Arch): Thread {
  const bytes = fields.orNull('registers', (key) => fields.bytes(key));
  if (bytes !== null && bytes.length < registerSetSize(arch)) {
    throw new BytesError(`${fields.where}.registers has ${bytes.length} bytes of ${registerSetSize(arch)}`);
  }
  const native = fields.has('native') ? fields.orNull('native', (key) => readNative(fields.map(key))) : null;
  return {
    tid: fields.count('tid'),
    namespaceTid: fields.count('namespaceTid'),
    name: fields.text('name'),
    state: fields.text('state'),
    registers: bytes === null ? null : new Registers(arch, bytes),
    ...(native === null ? {} : { native }),
  };
}

function readNative(fields: Fields): NativeFunction {
  return { name: fields.text('name'), file: fields.text('file'), offset: fields.count('offset') };
}

function plainNative(native: NativeFunction | undefined): Plain<NativeFunction> | null {
  if (native === undefined) return null;
  const { name, file, offset } = native;
  return { name, file, offset };
}

function plainMapping(mapping: Mapping): Plain<Mapping> {
  const { start, end, readable, writable, executable, fileOffset, path } = mapping;
  return { start, end, readable, writable, executable, fileOffset, path };
}

function readMappings(facts: Fields): Mapping[] {
  let last = 0;
  return facts.list('mappings', (item, where) => {
    const fields = new Fields(item, where);
    const start = fields.address('start');
    const end = fields.address('end');
    if (start < last || end < start) throw new BytesError(`${where} is out of order`);
    last = end;
    return {
      start,
      end,
      readable: fields.flag('readable'),
      writable: fields.flag('writable'),
      executable: fields.flag('executable'),
      fileOffset: fields.count('fileOffset'),
      path: fields.text('path'),
    };
  });
}

function plainExecutable({ path, deleted, buildId, goBuildId, sizeBytes }: Executable): Plain<Executable> {
  return { path, deleted, buildId, goBuildId, sizeBytes };
}

function readExecutable(fields: Fields): Executable {
  return {
    path: fields.text('path'),
    deleted: fields.flag('deleted'),
    buildId: textOrNull(fields, 'buildId'),
    goBuildId: textOrNull(fields, 'goBuildId'),
    sizeBytes: fields.orNull('sizeBytes', (key) => fields.count(key)),
  };
}

function plainHost({ hostname, kernel, bootId, cpus, namespacePids }: HostFacts): Plain<HostFacts> {
  return { hostname, kernel, bootId, cpus, namespacePids };
}

function readHost(fields: Fields): HostFacts {
  return {
    hostname: fields.text('hostname'),
    kernel: fields.text('kernel'),
    bootId: textOrNull(fields, 'bootId'),
    cpus: fields.count('cpus'),
    namespacePids: fields.list('namespacePids', toCount),
  };
}

function plainCapture(capture: CaptureFacts): Plain<CaptureFacts> {
  const { mode, capturedAt, monotonicNs, pauseNs, lateThreads, longestLateNs, partial, warnings, torn, writer } =
    capture;
  return {
    mode,
    capturedAt,
    monotonicNs,
    pauseNs,
    lateThreads,
    longestLateNs,
    partial,
    warnings: warnings.map(({ code, message }) => ({ code, message })),
    torn,
    writer,
  };
}

function readCapture(fields: Fields): CaptureFacts {
  const mode = fields.text('mode');
  if (mode !== 'stop' && mode !== 'clone' && mode !== 'live' && mode !== 'core') {
    throw new BytesError(`${fields.where}.mode is ${quoted(mode)}`);
  }
  return {
    mode,
    capturedAt: textOrNull(fields, 'capturedAt'),
    monotonicNs: fields.orNull('monotonicNs', (key) => fields.big(key)),
    pauseNs: fields.orNull('pauseNs', (key) => fields.count(key)),
    lateThreads: countIfThere(fields, 'lateThreads'),
    longestLateNs: countIfThere(fields, 'longestLateNs'),
    partial: fields.flag('partial'),
    warnings: fields.list('warnings', (item, where) => {
      const warning = new Fields(item, where);
      return { code: shortened(warning.text('code')), message: shortened(warning.text('message')) };
    }),
    torn: fields.list('torn', toAddress),
    writer: textOrNull(fields, 'writer'),
  };
}

function plainStructs(structs: ProcessImage['structs']): unknown {
  return [...structs].map(([name, { sizeBytes, fields }]) => ({
    ...{ name, sizeBytes },
    fields: Object.entries(fields).map(([field, offset]) => ({ name: field, offset })),
  }));
}

function readStructs(facts: Fields): Map<string, StructLayout> {
  return new Map(
    facts.list('structs', (item, where): [string, StructLayout] => {
      const struct = new Fields(item, where);
      const fields = struct.list('fields', (one, at): [string, number] => {
        const field = new Fields(one, at);
        return [field.text('name'), field.count('offset')];
      });
      return [struct.text('name'), { sizeBytes: struct.count('sizeBytes'), fields: Object.fromEntries(fields) }];
    }),
  );
}

function plainSignal(signal: FatalSignal | null): Plain<FatalSignal> | null {
  if (signal === null) return null;
  const { number, code, addr, tid } = signal;
  return { number, code, addr, tid };
}

function readSignal(facts: Fields): FatalSignal | null {
  if (!facts.has('signal')) return null;
  return facts.orNull('signal', (key) => {
    const fields = facts.map(key);
    return {
      number: fields.count('number'),
      code: fields.integer('code'),
      addr: fields.orNull('addr', (name) => fields.count(name)),
      tid: fields.count('tid'),
    };
  });
}

/** A count that older snapshots lack. */
function countIfThere(fields: Fields, key: string): number | null {
  return fields.has(key) ? fields.orNull(key, (k) => fields.count(k)) : null;
}

function textOrNull(fields: Fields, key: string): string | null {
  return fields.orNull(key, (k) => fields.text(k));
}
