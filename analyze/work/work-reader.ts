import type { Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { Work } from '../../snapshots/work.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { ArgumentWord } from '../stacks/frame-arguments.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { Values } from '../types/values.js';
import type { Call, Decoder, Found, LiveWord } from './decoder.js';
import { httpServer } from './http-server.js';
import { socket } from './socket.js';
import { sql } from './sql.js';

/** In the order in which they are told. */
const DECODERS: readonly Decoder[] = [httpServer, sql, socket];
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

  /** What a goroutine with these frames works on: at most one thing of each kind, that of the innermost call. */
  of(frames: readonly PhysicalFrame[]): DecodedWork[] {
    const found: DecodedWork[] = [];
    frames.forEach((frame, i) => {
      for (const decoder of this.#decodersOf(frame.point)) {
        if (found.some(({ kind }) => kind === decoder.kind)) continue;
        const work = this.#decode(decoder, frame, frames[i + 1]);
        if (work !== null) found.push(work);
      }
    });
    return found.length < 2 ? found : DECODERS.flatMap(({ kind }) => found.find((work) => work.kind === kind) ?? []);
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

  #call(frame: PhysicalFrame, caller: PhysicalFrame | undefined): Call {
    let words: readonly ArgumentWord[] | null | undefined;
    return {
      func: frame.point.func.name,
      caller: caller?.point.func.name ?? '',
      word: (index) => {
        words ??= this.#program.frameArguments.words(frame);
        return liveWord(words?.[index]);
      },
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
