import { once } from 'node:events';
import { createGzip, type Gzip } from 'node:zlib';
import { Function, Label, Location, Mapping, Profile, Sample, StringTable, ValueType } from 'pprof-format';
import type { GoProgram } from '../../analyze/program.js';
import { targetOfAll } from '../../analyze/report/all-runtimes.js';
import type { Goroutine } from '../../analyze/report/model.js';
import { inStackOrder, type SharedFrame, type SharedStack } from '../../analyze/report/shared-stacks.js';
import { version } from '../version.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';
import { CUT } from './stack-counts.js';
import { LabelNames, type SampleLabels } from './pprof-labels.js';
import { mergeSamples, STORE } from './pprof-merge.js';

/** How goroutines become samples. */
export interface PprofOptions {
  /** One sample for goroutines with equal stacks and labels, in place of one a goroutine. */
  readonly merge: boolean;
  /** Merged, and within what Pyroscope and Parca take by default. */
  readonly forStore: boolean;
  /** Called with a sentence for what is lost to the limits of a store. */
  readonly note: (line: string) => void;
}

/** Tag and wire type of Profile.sample in profile.proto: field 2, length-delimited. */
const SAMPLE_TAG = 0x12;
/** Bytes that are gathered before they are compressed. */
const PIECE_BYTES = 1 << 16;
/** Time against size: the default level of gzip. */
const GZIP_LEVEL = 6;

/** A profile of github.com/google/pprof (profile.proto), compressed. */
export async function exportPprof(output: Output, source: Source, options: PprofOptions): Promise<void> {
  const { merge, forStore, note } = options;
  const limits = forStore ? STORE : null;
  const profile = new ProfileWriter(output, limits?.frames ?? Infinity);
  if (merge || forStore) {
    const samples = mergeSamples(source, limits, note);
    for (const { program, stack, labels, count, waitNs } of samples) {
      await profile.add(program, stack, labels, [count, waitNs]);
    }
  } else {
    const { programs, query } = source;
    const names = new LabelNames(programs.length > 1, (name) => name);
    for (const { program, goroutine, stack } of inStackOrder(programs, query.selection ?? {})) {
      const labels = { ...names.of(goroutine), numbers: idsOf(goroutine) };
      await profile.add(program, stack, labels, [1, goroutine.waitSinceNs ?? 0]);
    }
  }
  await profile.end(source);
  const { cutStacks } = profile;
  if (cutStacks > 0) note(`a store takes ${STORE.frames} frames: ${cutStacks} stacks lack their outermost`);
}

function idsOf({ goid, parentGoid }: Goroutine): SampleLabels['numbers'] {
  return parentGoid === null ? [['goid', goid]] : [['goid', goid], ['parent_goid', parentGoid]]; // prettier-ignore
}

/** Writes samples as they come, and what they refer to at the end: the fields of a message may come in any order. */
class ProfileWriter {
  readonly #output: Output;
  readonly #mostFrames: number;
  readonly #gzip: Gzip = createGzip({ level: GZIP_LEVEL });
  readonly #strings = new StringTable();
  readonly #places = new Places(this.#strings);
  readonly #stacks = new WeakMap<SharedStack, readonly number[]>();
  readonly #compressed: Buffer[] = [];
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  /** Stacks with more frames than are taken. */
  cutStacks = 0;

  constructor(output: Output, mostFrames: number) {
    this.#output = output;
    this.#mostFrames = mostFrames;
    this.#gzip.on('data', (chunk: Buffer) => this.#compressed.push(chunk));
  }

  async add(program: GoProgram, stack: SharedStack, labels: SampleLabels, value: number[]): Promise<void> {
    const sample = Sample.create({
      locationId: [...this.#locationsOf(program, stack)],
      value,
      label: [
        ...labels.numbers.map(([key, num]) => Label.create({ key: this.#strings.dedup(key), num })),
        ...labels.texts.map(([key, str]) =>
          Label.create({ key: this.#strings.dedup(key), str: this.#strings.dedup(str) }),
        ),
      ],
    });
    const bytes = sample.encode();
    await this.#put(Uint8Array.of(SAMPLE_TAG, ...varint(bytes.length)));
    await this.#put(bytes);
  }

  #locationsOf(program: GoProgram, stack: SharedStack): readonly number[] {
    let ids = this.#stacks.get(stack);
    if (ids === undefined) {
      const all = stack.frames.map((frame) => this.#places.location(program, frame));
      if (stack.truncated !== null) all.push(this.#places.location(program, CUT_FRAME));
      if (all.length > this.#mostFrames) this.cutStacks++;
      this.#stacks.set(stack, (ids = all.slice(0, this.#mostFrames)));
    }
    return ids;
  }

  async end({ programs }: Source): Promise<void> {
    const type = (name: string, unit: string): ValueType =>
      ValueType.create({ type: this.#strings.dedup(name), unit: this.#strings.dedup(unit) });
    const { capturedAt } = targetOfAll(programs);
    const time = capturedAt === null ? NaN : Date.parse(capturedAt);
    const profile = new Profile({
      sampleType: [type('goroutine', 'count'), type('wait', 'nanoseconds')],
      periodType: type('goroutine', 'count'),
      period: 1,
      defaultSampleType: this.#strings.dedup('goroutine'),
      comment: [this.#strings.dedup(`gospy ${version()}`)],
      ...(Number.isNaN(time) ? {} : { timeNanos: BigInt(time) * 1_000_000n }),
      mapping: this.#places.mappings(),
      location: this.#places.locations,
      function: this.#places.functions,
      stringTable: this.#strings,
    });
    await this.#put(profile.encode());
    await this.#compress();
    const ended = once(this.#gzip, 'end');
    this.#gzip.end();
    await ended;
    await this.#output.bytes(Buffer.concat(this.#compressed.splice(0)));
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= PIECE_BYTES) await this.#compress();
  }

  async #compress(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    await new Promise((done) => this.#gzip.write(bytes, done));
    await this.#output.bytes(Buffer.concat(this.#compressed.splice(0)));
  }
}

/** Stands for the callers that a stack lacks. */
const CUT_FRAME: SharedFrame = { pc: 0, lines: [{ func: CUT, file: '', line: 0, inlined: false }] };

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return [...bytes, rest];
}

/** Numbers functions, locations and mappings. */
class Places {
  readonly locations: Location[] = [];
  readonly functions: Function[] = [];
  readonly #strings: StringTable;
  readonly #locationIds = new Map<string, number>();
  readonly #functionIds = new Map<string, number>();
  readonly #mappings = new Map<string, Mapping>();

  constructor(strings: StringTable) {
    this.#strings = strings;
  }

  mappings(): Mapping[] {
    return [...this.#mappings.values()];
  }

  /** A location is a physical frame: the calls inlined into it are lines of it, the innermost first. */
  location(program: GoProgram, { pc, lines }: SharedFrame): number {
    const key = `${program.runtime.n} ${pc} ${lines.map(({ func, line }) => `${line} ${func}`).join('\n')}`;
    let id = this.#locationIds.get(key);
    if (id === undefined) {
      id = this.locations.length + 1;
      this.#locationIds.set(key, id);
      const mapping = pc === 0 ? null : this.#mapping(program, pc);
      this.locations.push(
        Location.create({
          id,
          ...(mapping === null ? {} : { mappingId: mapping.id }),
          address: pc,
          line: lines.map(({ func, file, line }) => ({ functionId: this.#function(func, file), line })),
        }),
      );
    }
    return id;
  }

  #function(func: string, file: string): number {
    const key = `${file}\n${func}`;
    let id = this.#functionIds.get(key);
    if (id === undefined) {
      id = this.functions.length + 1;
      this.#functionIds.set(key, id);
      const name = this.#strings.dedup(func);
      this.functions.push(Function.create({ id, name, systemName: name, filename: this.#strings.dedup(file) }));
    }
    return id;
  }

  /** The mapping of the code at `pc`, with the build id of the Go program if it is the program's. */
  #mapping({ image, runtime }: GoProgram, pc: number): Mapping | null {
    const found = image.mappings.find(({ start, end }) => start <= pc && pc < end);
    if (found === undefined) return null;
    const key = `${found.start} ${runtime.n}`;
    let mapping = this.#mappings.get(key);
    if (mapping === undefined) {
      const path = found.path === '' ? runtime.file : found.path;
      mapping = Mapping.create({
        id: this.#mappings.size + 1,
        memoryStart: found.start,
        memoryLimit: found.end,
        fileOffset: found.fileOffset,
        filename: this.#strings.dedup(path),
        buildId: this.#strings.dedup(path === runtime.file ? (runtime.buildId ?? '') : ''),
        ...{ hasFunctions: true, hasFilenames: true, hasLineNumbers: true, hasInlineFrames: true },
      });
      this.#mappings.set(key, mapping);
    }
    return mapping;
  }
}
