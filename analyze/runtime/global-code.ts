import { plus, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import { dataReferences } from './code-references.js';
import type { Located } from './global-scan.js';
import type { Layouts } from './layouts.js';
import { runtimeFunctions } from './runtime-functions.js';

/** Functions of package runtime whose code refers to the globals. `npm run layouts` checks them in each new release. */
const SOURCES = [
  'incidlelocked',
  'gcMarkTinyAllocs',
  'allgadd',
  'rt0_go',
  'mexit',
  'GOMAXPROCS',
  'freeSomeWbufs',
  'waitReason.String',
] as const;

/** Refers to modulesSlice, which debuggers look for in cores that gospy writes. */
const FOR_DEBUGGERS = ['modulesinit'] as const;
export const GLOBAL_SOURCES = [...SOURCES, ...FOR_DEBUGGERS];

/** Variables that the program can be understood without; null where the code does not lead to them. */
export interface OptionalGlobals {
  readonly gomaxprocs: Addr | null;
  readonly gcphase: Addr | null;
  readonly waitReasonStrings: Addr | null;
}

/** Finds the runtime's globals by the code of small functions that refer to them. */
export class GlobalsInCode {
  readonly #memory: Memory;
  readonly #arch: Arch;
  readonly #within: readonly Range[];
  readonly #functions: ReadonlyMap<string, Func>;
  readonly #schedLock: number;
  readonly #known = new Map<string, Addr[]>();

  constructor(memory: Memory, arch: Arch, table: FunctionTable, layouts: Pick<Layouts, 'of'>) {
    this.#memory = memory;
    this.#arch = arch;
    this.#within = table.module.data;
    this.#functions = runtimeFunctions(memory, table, GLOBAL_SOURCES);
    this.#schedLock = layouts.of('schedt').offset('lock');
  }

  /** Those that were found, unchecked. */
  get located(): Partial<Record<Located, Addr>> {
    const [lock] = this.#references('incidlelocked');
    const scans = this.#references('gcMarkTinyAllocs');
    const adds = this.#references('allgadd');
    const found: Record<Located, Addr | null | undefined> = {
      sched: lock === undefined ? null : plus(lock, -this.#schedLock),
      allp: scans.find((x) => scans.includes(plus(x, 8))) ?? scans[0],
      allgs: adds.find((x) => adds.includes(plus(x, 8)) && adds.includes(plus(x, 16))),
      g0: this.#references('rt0_go')[0],
      allm: lock === undefined ? null : this.#nextReference('mexit', lock),
    };
    return Object.fromEntries(Object.entries(found).filter(([, at]) => at !== null && at !== undefined));
  }

  /** `sched` is where runtime.sched lies. */
  optional(sched: Addr): OptionalGlobals {
    // freeSomeWbufs takes work.wbufSpans.lock, and reads gcphase next (mgcwork.go).
    const [spansLock] = this.#references('freeSomeWbufs');
    const reasons = this.#references('waitReason.String');
    return {
      gomaxprocs: this.#inImage(this.#nextReference('GOMAXPROCS', plus(sched, this.#schedLock))),
      gcphase: this.#inImage(spansLock === undefined ? null : this.#nextReference('freeSomeWbufs', spansLock)),
      waitReasonStrings: reasons.length === 0 ? null : reasons.reduce((a, b) => (a < b ? a : b)),
    };
  }

  /** All variables that the functions refer to; allgptr, allglen and modulesSlice among them. */
  get variables(): readonly Addr[] {
    return [...new Set(GLOBAL_SOURCES.flatMap((name) => this.#references(name)))];
  }

  #inImage(at: Addr | null): Addr | null {
    return at !== null && this.#memory.has(at, 4) ? at : null;
  }

  /** Data references of a function, in the order of its instructions; none where its code is not in the image. */
  #references(name: (typeof GLOBAL_SOURCES)[number]): readonly Addr[] {
    let references = this.#known.get(name);
    if (references === undefined) {
      const func = this.#functions.get(name);
      references =
        func === undefined
          ? []
          : onFault(
              () => dataReferences(this.#memory, this.#arch, func, this.#within),
              () => [],
            );
      this.#known.set(name, references);
    }
    return references;
  }

  /** The first reference to something else that comes after one to `before`. */
  #nextReference(name: (typeof SOURCES)[number], before: Addr): Addr | null {
    const references = this.#references(name);
    const at = references.indexOf(before);
    return at < 0 ? null : (references.slice(at + 1).find((other) => other !== before) ?? null);
  }
}
