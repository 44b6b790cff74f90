import { onFault } from '../../snapshots/memory.js';
import { WORK_KINDS, type Work } from '../../snapshots/work.js';
import { HeapObjects } from '../leaks/heap-objects.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { Values } from '../types/values.js';
import type { WaitsOn } from '../waits/model.js';
import { context } from './context.js';
import type { Decoder, Found } from './decoder.js';
import { exec } from './exec.js';
import { file } from './file.js';
import { grpcClient } from './grpc-client.js';
import { grpcServer } from './grpc-server.js';
import { httpHandler } from './http-handler.js';
import { http2Server } from './http2-server.js';
import { httpClient } from './http-client.js';
import { httpServer } from './http-server.js';
import { guessLock, lockOf, nameLock, type Lock } from './lock-names.js';
import { socket } from './socket.js';
import { ownDecoder } from './own-decoder.js';
import { sql } from './sql.js';
import { StackCalls, type StackCall } from './stack-call.js';

const DECODERS: readonly Decoder[] = [
  ...[httpServer, http2Server, grpcServer, sql, httpClient, grpcClient],
  ...[exec, file, socket, httpHandler, context],
];
/** What methods of locks call, and those methods where they are not inlined. */
const LOCKING = /^(?:internal\/)?sync\.(?:runtime_Semacquire|\(\*(?:Mutex|RWMutex|Once)\)\.)/;
/** Frames above the method of a lock that are searched for an object that has it. */
const LOCK_DEPTH = 8;
/** Spans of heaps that are asked whether an object can be there: 0.1 s goes by while so many are read. */
const MAX_SPANS = 100_000;
/** Work that was decoded: with its text of both levels, and the call that tells it. */
export interface DecodedWork extends Work, Found {
  readonly frame: Pick<PhysicalFrame, 'pc' | 'sp'>;
}

/** Finds out what goroutines work on, by the arguments of the calls on their stacks and the program's own types. */
export class WorkReader {
  readonly #calls: StackCalls;
  readonly #heap: HeapObjects | null;
  /** Those of the user come first. */
  readonly #all: readonly Decoder[];
  /** The kinds in the order in which they are told. */
  readonly #order: readonly string[];
  /** Of a place in the code, the decoders that it concerns. */
  readonly #decoders = new WeakMap<CodePoint, readonly Decoder[]>();

  /** A heap that changes says nothing of what was read a moment ago: it is asked only of a program that stands still. */
  constructor(program: GoProgram, standsStill: boolean) {
    const { memory, code, layouts, image } = program;
    const own = (image.decoders ?? []).map(ownDecoder);
    this.#all = [...own, ...DECODERS];
    this.#order = [...new Set([...own.map(({ kind }) => kind), ...WORK_KINDS])];
    const modules = code.modules.map(({ module }) => module);
    this.#heap = standsStill ? new HeapObjects(program, MAX_SPANS) : null;
    // What is read for this is no part of what a snapshot must contain: it has the results.
    this.#calls = new StackCalls(program, new Values(memory.unrecorded, modules, layouts.release.types));
  }

  /** True if the places on a stack are such that something may be told of it. */
  concerns(frames: readonly PhysicalFrame[]): boolean {
    return firstOutsideLocks(frames) > 0 || frames.some((frame) => this.#decodersOf(frame).length > 0);
  }

  /**
   * What a goroutine with these frames works on: at most one thing of each kind, that of the innermost call. `waits` says what it
   * waits on; of a lock, only the name is told.
   */
  of(frames: readonly PhysicalFrame[], waits: () => readonly WaitsOn[]): DecodedWork[] {
    const found: DecodedWork[] = [];
    for (const [i, frame] of frames.entries()) {
      const decoders = this.#decodersOf(frame);
      const call = decoders.length === 0 ? null : this.#calls.at(frames, i);
      if (call === null) continue;
      for (const decoder of decoders) {
        if (found.some(({ kind }) => kind === decoder.kind)) continue;
        const work = this.#decode(decoder, call, frame);
        if (work !== null) found.push(work);
      }
    }
    const lock = this.#lock(frames, waits);
    if (lock !== null) found.push(lock);
    return found.length < 2 ? found : this.#order.flatMap((kind) => found.find((work) => work.kind === kind) ?? []);
  }

  #decode(decoder: Decoder, call: StackCall, frame: PhysicalFrame): DecodedWork | null {
    this.#calls.values.forget();
    return onFault<DecodedWork | null, null>(
      () => {
        const decoded = decoder.decode(call, this.#calls.values);
        if (decoded === null) return null;
        const sure = decoded.sure && this.#canBe();
        return { kind: decoder.kind, sure, frame, ...decoded.found };
      },
      () => null,
    );
  }

  /** False if the heap has something else where pointers led to: the memory is damaged, or it changed. */
  #canBe(): boolean {
    const heap = this.#heap;
    if (heap === null) return true;
    return this.#calls.values.met.every(
      ({ addr, sizeBytes, hasPointers }) => heap.refutes(addr, sizeBytes, hasPointers) === null,
    );
  }

  /** The lock that it waits for, if a call tells which one it is. */
  #lock(frames: readonly PhysicalFrame[], waits: () => readonly WaitsOn[]): DecodedWork | null {
    const first = firstOutsideLocks(frames);
    const lock = first === 0 ? null : lockOf(waits());
    if (lock === null) return null;
    for (let i = first; i < first + LOCK_DEPTH; i++) {
      const named = this.#named(nameLock, frames, i, lock);
      if (named !== null) return named;
    }
    return this.#named(guessLock, frames, first, lock);
  }

  #named(by: typeof nameLock, frames: readonly PhysicalFrame[], index: number, lock: Lock): DecodedWork | null {
    const frame = frames[index];
    const call = this.#calls.at(frames, index);
    if (call === null || frame === undefined) return null;
    return onFault<DecodedWork | null, null>(
      () => {
        this.#calls.values.forget();
        const found = by(call, this.#calls.values, lock);
        const sure = by === nameLock && call.word(0)?.mapped === true && this.#canBe();
        return found === null ? null : { kind: 'lock', sure, frame, ...found };
      },
      () => null,
    );
  }

  #decodersOf(frame: PhysicalFrame): readonly Decoder[] {
    const { point } = frame;
    let known = this.#decoders.get(point);
    if (known === undefined) {
      const hasInterface = this.#calls.pairsOf(frame).length > 0;
      known = this.#all.filter(
        (decoder) => decoder.handles(point.func.name) && (hasInterface || decoder.needsInterface !== true),
      );
      this.#decoders.set(point, known);
    }
    return known;
  }
}

/** The index of the frame that called the method of a lock in which a goroutine stands; 0 where it stands in none. */
function firstOutsideLocks(frames: readonly PhysicalFrame[]): number {
  return frames.slice(0, LOCK_DEPTH).findLastIndex(({ point }) => LOCKING.test(point.func.name)) + 1;
}
