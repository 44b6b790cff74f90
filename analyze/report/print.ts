import { hex, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { HeapObjects } from '../leaks/heap-objects.js';
import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import { isBlocked } from '../runtime/wait-records.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { ValueTree, type ShownValue, type TreeContext, type TreeLimits } from '../types/value-tree.js';
import { Values } from '../types/values.js';
import { TypedArguments, type Argument, type TypedArgument, type TypeSource } from '../work/typed-arguments.js';
import { LocationResolver } from './locations.js';
import type { CallFrame } from './model.js';

/** Which argument is asked for, and how much of it. */
export interface PrintQuery extends TreeLimits {
  /** A frame, counted from 0 as the lines of `stacks` are, from the innermost on; null for all. */
  readonly frame: number | null;
  /** An argument of it, counted from 0; null for all. */
  readonly argument: number | null;
  /** What the argument is, if the user knows: the name of a type, or of what a pointer leads to behind a `*`. */
  readonly as: string | null;
}

/** How certain it is that an argument is of its type, and that its memory is still that value's. */
export type Certainty = 'sure' | 'probable';

/** The arguments of a goroutine's calls: `gospy.print/1` in docs/cli.md. Addresses are hex strings. */
export interface PrintedGoroutine {
  readonly goid: number;
  readonly runtime: number;
  readonly status: GoroutineStatus;
  /** The runtime's own words, or null. */
  readonly waitReason: string | null;
  /** Why the stack ends early, or null. */
  readonly truncated: string | null;
  /** It ran while it was read: what is printed may be of different moments. */
  readonly torn: boolean;
  /** Those that were asked for, the innermost first. */
  readonly frames: readonly PrintedFrame[];
}

export interface PrintedFrame extends CallFrame {
  readonly n: number;
  /** Those that were asked for; null where they are not known: those of inlined calls are nowhere. */
  readonly arguments: readonly PrintedArgument[] | null;
}

export interface PrintedArgument {
  readonly n: number;
  /** As a traceback prints it, in hex. */
  readonly words: readonly PrintedWord[];
  /** null where nothing tells what it is. */
  readonly type: string | null;
  readonly certainty: Certainty | null;
  /** Why it is taken for that; or why nothing is. */
  readonly evidence: readonly { readonly code: string; readonly message: string }[];
  /** null where it is not known, and unless one argument was asked for. */
  readonly value: ShownValue | null;
}

export interface PrintedWord {
  readonly value: string;
  /** As `argsLive` and `argsPointers` have it. */
  readonly live: boolean | null;
  readonly pointer: boolean | null;
}

const NO_TYPES =
  'what it leads to, and the types of the program, are not in the target: a live process and a whole core have them';

const SOURCES: Readonly<Record<TypeSource, string>> = {
  receiver: 'the function is a method of this type',
  interface: 'the word before it names the type',
  channel: 'the runtime takes it for a channel, which knows the type of its values',
  text: 'it has the shape of a string, and leads to text',
  given: 'so it was asked for',
};

/** What one word and its place in a frame say. */
type Evidence = PrintedArgument['evidence'][number];

/** Prints arguments of the calls of one goroutine. */
export function printArguments(program: GoProgram, g: G, query: PrintQuery): PrintedGoroutine {
  const { frames, truncated } = program.stackOf(g);
  return {
    goid: g.goid,
    runtime: program.runtime.n,
    status: g.status,
    waitReason: isBlocked(g) ? program.waitReasons.at(g.waitreason) : null,
    truncated,
    torn: false,
    frames: new Printer(program, query).frames(frames),
  };
}

/** A process that runs is looked at until two looks in a row show the same, but not more often. */
const MAX_LOOKS = 4;

/**
 * What is printed of a goroutine of a process that runs, where each call of `look` reads it anew. If two looks show the same, it was
 * so between them; otherwise nothing of it is sure. null where the goroutine ended.
 */
export function printRunning(look: () => PrintedGoroutine | null): PrintedGoroutine | null {
  let before = look();
  for (let looks = 1; looks < MAX_LOOKS && before !== null; looks++) {
    const now = look();
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
  return before === null ? null : unsettled(before);
}

/** The same, with nothing that is sure. */
function unsettled(printed: PrintedGoroutine): PrintedGoroutine {
  const evidence = {
    code: 'changing',
    message: 'it changed while it was read, so that parts may be of different moments',
  };
  const weaken = (argument: PrintedArgument): PrintedArgument =>
    argument.type === null
      ? argument
      : { ...argument, certainty: 'probable', evidence: [...argument.evidence, evidence] };
  const frames = printed.frames.map((frame) => ({ ...frame, arguments: frame.arguments?.map(weaken) ?? null }));
  return { ...printed, torn: true, frames };
}

class Printer {
  readonly #program: GoProgram;
  readonly #query: PrintQuery;
  readonly #values: Values;
  readonly #typed: TypedArguments;
  readonly #heap: HeapObjects;
  readonly #context: TreeContext;

  constructor(program: GoProgram, query: PrintQuery) {
    const { memory, code, layouts, index } = program;
    this.#program = program;
    this.#query = query;
    const modules = code.modules.map(({ module }) => module);
    // No snapshot has to contain what is read for this.
    this.#values = new Values(memory.unrecorded, modules, layouts.release.types);
    this.#typed = new TypedArguments(program, this.#values);
    this.#heap = new HeapObjects(program);
    const channel = layouts.of('hchan');
    const at = (field: string): number => channel.offset(field);
    this.#context = {
      channel: {
        ...{ qcount: at('qcount'), dataqsiz: at('dataqsiz'), buf: at('buf') },
        ...{ closed: at('closed'), recvx: at('recvx') },
      },
      functionAt: (pc) => {
        const point = index.functionAt(pc);
        return point === null ? null : index.symbolizer.printedName(point.func.name);
      },
      refutes: (addr, sizeBytes, hasPointers) => this.#heap.refutes(addr, sizeBytes, hasPointers),
    };
  }

  frames(physical: readonly PhysicalFrame[]): PrintedFrame[] {
    const locations = new LocationResolver(this.#program);
    let n = 0;
    return physical.flatMap((frame) =>
      locations.calls([frame]).flatMap((call) => {
        const number = n++;
        const isAsked = this.#query.frame === null || this.#query.frame === number;
        return isAsked ? [{ ...call, n: number, arguments: call.inlined ? null : this.#arguments(frame) }] : [];
      }),
    );
  }

  #arguments(frame: PhysicalFrame): PrintedArgument[] | null {
    const { argument } = this.#query;
    return (
      this.#typed
        .of(frame)
        ?.map((one, n) => this.#argument(one, n))
        .filter(({ n }) => argument === null || n === argument) ?? null
    );
  }

  #argument(argument: Argument, n: number): PrintedArgument {
    const words = argument.words.map(({ value, live, pointer }) => ({ value: hex(value), live, pointer }));
    const isShown = n === this.#query.argument;
    const typed = isShown && this.#query.as !== null ? this.#given(argument, this.#query.as) : argument.typed;
    if (typed === null) {
      return { n, words, type: null, certainty: null, evidence: this.#unknown(argument), value: null };
    }
    // Only what the heap says of the first step, where no value is asked for.
    const limits = isShown ? this.#query : { depth: 1, elements: 0 };
    const tree = new ValueTree(this.#values, limits, this.#context);
    const value = typed.isTarget ? tree.showTarget(typed.value) : tree.show(typed.value);
    const refuted = [value.omitted, value.to?.omitted].find((omitted) => omitted?.code === 'heap');
    if (refuted !== undefined) {
      const message = `${SOURCES[typed.source]} (${value.type}), but the heap has something else there: ${refuted.message}`;
      return { n, words, type: null, certainty: null, evidence: [{ code: 'refuted', message }], value: null };
    }
    const isSure = typed.isKept && !tree.isContradicted && typed.source !== 'given' && typed.source !== 'text';
    return {
      ...{ n, words, type: value.type, certainty: isSure ? 'sure' : 'probable' },
      evidence: [
        { code: typed.source, message: SOURCES[typed.source] },
        typed.isKept
          ? { code: 'kept', message: 'it is live, and the garbage collector follows it' }
          : {
              code: 'not-kept',
              message: 'the garbage collector does not follow it here: what it leads to may have been freed',
            },
        ...(tree.isContradicted ? [{ code: 'contradicted', message: 'something in it is not as its type says' }] : []),
      ],
      value: isShown ? value : null,
    };
  }

  /** An argument as a type that the user names. null where that cannot be. */
  #given({ words }: Argument, name: string): TypedArgument | null {
    const [first] = words;
    const isPointer = name.startsWith('*');
    const type = this.#values.index.named(isPointer ? name.slice(1) : name);
    if (first === undefined || type === null || words.some(({ live }) => live === false)) return null;
    if (!isPointer) return { source: 'given', value: { type, addr: first.addr }, isTarget: false, isKept: false };
    if (first.value === 0n || first.value >= 2n ** 47n) return null;
    const value = { type, addr: Number(first.value) as Addr };
    return { source: 'given', value, isTarget: true, isKept: first.pointer === true };
  }

  /** What can be said of an argument whose type is not known. */
  #unknown({ words }: Argument): Evidence[] {
    const { as, argument } = this.#query;
    if (words.length === 0) return [{ code: 'not-printed', message: 'its words are not known' }];
    if (words.some(({ live }) => live === false)) {
      const message = 'the argument is not used any more, and its word may be anything: it is not followed';
      return [{ code: 'not-live', message }];
    }
    if (as !== null && argument !== null && this.#values.index.named(as.replace(/^\*/, '')) === null)
      return [
        {
          code: 'no-such-type',
          message: `the program has no type ${as}, or several, or the target does not have its types`,
        },
      ];
    const objects = words.flatMap((word) => this.#objectAt(word.value));
    return [{ code: 'no-type', message: this.#hasTypes ? 'nothing tells its type' : NO_TYPES }, ...objects];
  }

  /** Nearly every program has strings; a snapshot has no types at all. */
  get #hasTypes(): boolean {
    return this.#values.index.named('string') !== null;
  }

  #objectAt(word: bigint): Evidence[] {
    if (word === 0n || word >= 2n ** 47n) return [];
    const addr = Number(word) as Addr;
    const object = onFault(
      () => this.#heap.at(addr),
      () => null,
    );
    if (object === null) return [];
    const { base, sizeBytes, hasPointers, isFree } = object;
    const inside = addr === base ? '' : `, ${addr - base} bytes into it`;
    const what = isFree
      ? 'free memory of the heap'
      : `an object of ${sizeBytes} bytes${hasPointers ? '' : ' without pointers'}`;
    return [{ code: 'object', message: `${hex(addr)} is ${what}${inside}` }];
  }
}
