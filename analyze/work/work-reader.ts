import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { WORK_KINDS, type Work } from '../../snapshots/work.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { ArgumentWord } from '../stacks/frame-arguments.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { Values } from '../types/values.js';
import type { WaitsOn } from '../waits/model.js';
import type { Call, Decoder, Found, LiveWord } from './decoder.js';
import { http2Server } from './http2-server.js';
import { httpClient } from './http-client.js';
import { httpServer } from './http-server.js';
import { guessLock, lockOf, nameLock } from './lock-names.js';
import { socket } from './socket.js';
import { sql } from './sql.js';

const DECODERS: readonly Decoder[] = [httpServer, http2Server, sql, httpClient, socket];
/** What methods of locks call, and those methods where they are not inlined. */
const LOCKING = /^(?:internal\/)?sync\.(?:runtime_Semacquire|\(\*(?:Mutex|RWMutex|Once)\)\.)/;
/** Frames above the method of a lock that are searched for an object that has it. */
const LOCK_DEPTH = 8;
/** Bytes of a frame that are searched. */
const MAX_FRAME = 4096;
/** Addresses of user space end here. */
const HIGHEST = 2n ** 47n;

/** Work that was decoded: with its text of both levels. */
export type DecodedWork = Work & Found;

/** Finds out what goroutines work on, by the arguments of the calls on their stacks and the program's own types. */
export class WorkReader {
  readonly #program: GoProgram;
  readonly #values: Values;
  /** Of a place in the code, the decoders that its function concerns. */
  readonly #decoders = new WeakMap<CodePoint, readonly Decoder[]>();

  constructor(program: GoProgram) {
    const { memory, code, layouts } = program;
    const modules = code.modules.map(({ module }) => module);
    this.#program = program;
    // What is read for this is no part of what a snapshot must contain: it has the results.
    this.#values = new Values(memory.unrecorded, modules, layouts.release.types);
  }

  /**
   * What a goroutine with these frames works on: at most one thing of each kind, that of the innermost call. `waits` says what it
   * waits on; of a lock, only the name is told.
   */
  of(frames: readonly PhysicalFrame[], waits: () => readonly WaitsOn[]): DecodedWork[] {
    const found: DecodedWork[] = [];
    frames.forEach((frame, i) => {
      for (const decoder of this.#decodersOf(frame.point)) {
        if (found.some(({ kind }) => kind === decoder.kind)) continue;
        const work = this.#decode(decoder, frame, frames[i + 1]);
        if (work !== null) found.push(work);
      }
    });
    const lock = this.#lock(frames, waits);
    if (lock !== null) found.push(lock);
    return found.length < 2 ? found : WORK_KINDS.flatMap((kind) => found.find((work) => work.kind === kind) ?? []);
  }

  #decode(decoder: Decoder, frame: PhysicalFrame, caller: PhysicalFrame | undefined): DecodedWork | null {
    return onFault<DecodedWork | null, null>(
      () => {
        const decoded = decoder.decode(this.#call(frame, caller), this.#values);
        return decoded === null ? null : { kind: decoder.kind, sure: decoded.sure, ...decoded.found };
      },
      () => null,
    );
  }

  /** The lock that it waits for, if a call tells which one it is. */
  #lock(frames: readonly PhysicalFrame[], waits: () => readonly WaitsOn[]): DecodedWork | null {
    const first = frames.slice(0, LOCK_DEPTH).findLastIndex(({ point }) => LOCKING.test(point.func.name)) + 1;
    const lock = first === 0 ? null : lockOf(waits());
    if (lock === null) return null;
    for (const frame of frames.slice(first, first + LOCK_DEPTH)) {
      const call = this.#call(frame, undefined);
      const named = onFault(
        () => nameLock(call, this.#values, lock),
        () => null,
      );
      if (named !== null) return { kind: 'lock', sure: call.word(0)?.mapped === true, ...named };
    }
    const caller = frames[first];
    const guessed = caller === undefined ? null : guessLock(this.#call(caller, undefined), this.#values, lock);
    return guessed === null ? null : { kind: 'lock', sure: false, ...guessed };
  }

  *#frameWords({ sp, fp }: PhysicalFrame): Iterable<Addr> {
    for (let at = sp; at < Math.min(fp, sp + MAX_FRAME); at += 8) {
      const word = onFault(
        () => this.#program.memory.word(at as Addr),
        () => 0,
      );
      if (word > 0 && word % 8 === 0) yield word as Addr;
    }
  }

  #call(frame: PhysicalFrame, caller: PhysicalFrame | undefined): Call {
    let words: readonly ArgumentWord[] | null | undefined;
    return {
      func: frame.point.func.name,
      caller: caller?.point.func.name ?? '',
      word: (index) => {
        words ??= this.#program.frameArguments.words(frame);
        return liveWord(words?.[index]);
      },
      frameWords: () => this.#frameWords(frame),
    };
  }

  #decodersOf(point: CodePoint): readonly Decoder[] {
    let known = this.#decoders.get(point);
    if (known === undefined) {
      known = DECODERS.filter((decoder) => decoder.handles(point.func.name));
      this.#decoders.set(point, known);
    }
    return known;
  }
}

/** Where nothing tells whether a slot is live, only what the garbage collector takes for a pointer is. */
function liveWord(word: ArgumentWord | undefined): LiveWord | null {
  if (word === undefined || word.value >= HIGHEST) return null;
  const mapped = word.pointer === true;
  if (word.live === false || (word.live === null && !mapped)) return null;
  return { value: Number(word.value) as Addr, mapped };
}
