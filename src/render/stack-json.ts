import type { CallFrame, GoroutineWithStack, Loc } from '../../analyze/report/model.js';
import { jsonText } from './text.js';

/** Places in code whose text is kept. Programs stand in fewer; a damaged one may seem to stand in any number. */
const MOST_PLACES = 1 << 15;
/** Texts that JSON only puts between quotes. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** The text of a call but for what differs from goroutine to goroutine: before its sp, and after its arguments. */
interface KnownCall {
  /** The first such call. */
  readonly call: CallFrame;
  readonly before: string;
  readonly after: string;
}

/**
 * Writes goroutines as {@link jsonText} does: many of them, which stand in few places. What it writes of a place is made once.
 */
export class GoroutineJson {
  readonly #places = new WeakMap<Loc, string>();
  /** By pc: of one, there is a call and those that are inlined into it. */
  readonly #calls = new Map<string, KnownCall[]>();

  textOf(goroutine: GoroutineWithStack): string {
    let text = '';
    for (const field of Object.keys(goroutine) as (keyof GoroutineWithStack)[]) {
      text += `${text === '' ? '{' : ','}"${field}":${this.#field(goroutine, field)}`;
    }
    return `${text}}`;
  }

  #field(goroutine: GoroutineWithStack, field: keyof GoroutineWithStack): string {
    switch (field) {
      case 'creator':
      case 'start':
      case 'entry':
      case 'current':
      case 'user':
        return this.#place(goroutine[field]);
      case 'frames':
        return this.#frames(goroutine.frames);
      default:
        return jsonText(goroutine[field]);
    }
  }

  #place(place: Loc | null): string {
    if (place === null) return 'null';
    let text = this.#places.get(place);
    if (text === undefined) this.#places.set(place, (text = jsonText(place)));
    return text;
  }

  #frames(frames: readonly CallFrame[]): string {
    let text = '';
    for (const frame of frames) {
      const { before, after } = this.#call(frame);
      const { sp, fp, inlined, args } = frame;
      const values = `"sp":"${sp}","fp":"${fp}","inlined":${inlined},"args":${args === null ? 'null' : quoted(args)}`;
      text += `${text === '' ? '[' : ','}${before},${values},${after}`;
    }
    return text === '' ? '[]' : `${text}]`;
  }

  #call(call: CallFrame): KnownCall {
    const atPc = this.#calls.get(call.pc);
    if (atPc !== undefined) for (const known of atPc) if (areAlike(known.call, call)) return known;
    const { func, file, line, pc, argsLive, argsPointers } = call;
    const before = jsonText({ func, file, line, pc }).slice(0, -1);
    const known = { call, before, after: jsonText({ argsLive, argsPointers }).slice(1) };
    if (this.#calls.size >= MOST_PLACES) this.#calls.clear();
    if (atPc === undefined) this.#calls.set(pc, [known]);
    else atPc.push(known);
    return known;
  }
}

/** Whether the texts of two calls at a pc differ by their values alone. */
function areAlike(a: CallFrame, b: CallFrame): boolean {
  return (
    a.line === b.line &&
    a.func === b.func &&
    a.file === b.file &&
    a.argsLive === b.argsLive &&
    a.argsPointers === b.argsPointers
  );
}

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : jsonText(text);
}
