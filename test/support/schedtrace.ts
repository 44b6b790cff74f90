/**
 * Parses what Go programs write to stderr with GODEBUG=schedtrace=N, with or without scheddetail=1: the scheduler's own
 * account of its Ps, Ms and Gs. Mirrors schedtrace of runtime/proc.go in Go 1.12 to 1.27.
 */

export interface TracedP {
  readonly id: number;
  /** The number of the status: 0 idle, 1 running, 2 syscall, 3 gcstop, 4 dead. */
  readonly status: number;
  readonly schedtick: number;
  readonly syscalltick: number;
  /** Id of the M that holds it. */
  readonly m: number | null;
  readonly runqsize: number;
}

export interface TracedM {
  readonly id: number;
  readonly p: number | null;
  /** Id of the goroutine that it runs. */
  readonly curg: number | null;
  readonly locks: number;
  readonly spinning: boolean;
  readonly blocked: boolean;
  readonly lockedg: number | null;
}

export interface TracedG {
  readonly goid: number;
  /** The number of the status, as in the g. */
  readonly status: number;
  /** What it waits for, or waited for last. */
  readonly waitReason: string;
  readonly m: number | null;
  readonly lockedm: number | null;
}

/** The scheduler at about one instant: it runs on while it prints. Without scheddetail, all lists are empty. */
export interface SchedTrace {
  /** Milliseconds since the program started. */
  readonly atMs: number;
  readonly gomaxprocs: number;
  readonly idleprocs: number;
  readonly threads: number;
  readonly spinningthreads: number;
  readonly idlethreads: number;
  /** Length of the global run queue. */
  readonly runqueue: number;
  readonly ps: readonly TracedP[];
  readonly ms: readonly TracedM[];
  readonly gs: readonly TracedG[];
}

/** Returns the environment in which a program traces its scheduler in detail. */
export function schedTraceEnv(everyMs: number): { GODEBUG: string } {
  return { GODEBUG: `schedtrace=${everyMs},scheddetail=1` };
}

/** Returns the traces in `text`, which is stderr so far, without the last one: it may be incomplete. */
export function parseSchedTraces(text: string): SchedTrace[] {
  const sections = text.split(/^(?=SCHED )/m).filter((section) => section.startsWith('SCHED '));
  return sections.slice(0, -1).map(parseSection);
}

function parseSection(section: string): SchedTrace {
  const lines = section.split('\n');
  const first = lines[0] ?? '';
  const of = fields(first);
  return {
    atMs: integer(/^SCHED (\d+)ms:/.exec(first)?.[1], first),
    gomaxprocs: integer(of.get('gomaxprocs'), first),
    idleprocs: integer(of.get('idleprocs'), first),
    threads: integer(of.get('threads'), first),
    spinningthreads: integer(of.get('spinningthreads'), first),
    idlethreads: integer(of.get('idlethreads'), first),
    runqueue: integer(of.get('runqueue'), first),
    ps: entries(lines, 'P', parseP),
    ms: entries(lines, 'M', parseM),
    gs: entries(lines, 'G', parseG),
  };
}

type Fields = ReadonlyMap<string, string>;

function entries<T>(lines: readonly string[], kind: string, parse: (id: number, of: Fields, line: string) => T): T[] {
  const pattern = new RegExp(`^  ${kind}(\\d+): `);
  return lines.flatMap((line) => {
    const id = pattern.exec(line)?.[1];
    return id === undefined ? [] : [parse(Number(id), fields(line), line)];
  });
}

function parseP(id: number, of: Fields, line: string): TracedP {
  return {
    id,
    status: integer(of.get('status'), line),
    schedtick: integer(of.get('schedtick'), line),
    syscalltick: integer(of.get('syscalltick'), line),
    m: idOrNone(of.get('m'), line),
    runqsize: integer(of.get('runqsize'), line),
  };
}

function parseM(id: number, of: Fields, line: string): TracedM {
  return {
    id,
    p: idOrNone(of.get('p'), line),
    curg: idOrNone(of.get('curg'), line),
    locks: integer(of.get('locks'), line),
    spinning: of.get('spinning') === 'true',
    blocked: of.get('blocked') === 'true',
    lockedg: idOrNone(of.get('lockedg'), line),
  };
}

function parseG(goid: number, of: Fields, line: string): TracedG {
  const [, status, waitReason = ''] = /status=(\d+)\((.*)\) m=/.exec(line) ?? [];
  return {
    ...{ goid, status: integer(status, line), waitReason },
    ...{ m: idOrNone(of.get('m'), line), lockedm: idOrNone(of.get('lockedm'), line) },
  };
}

/** `key=value` pairs; some values are empty. */
function fields(line: string): Fields {
  return new Map([...line.matchAll(/(\w+)=(\S*)/g)].map(([, key = '', value = '']) => [key, value]));
}

/** Parses an id; for none, releases before Go 1.20 print -1, and later ones nil. */
function idOrNone(word: string | undefined, line: string): number | null {
  return word === '-1' || word === 'nil' ? null : integer(word, line);
}

function integer(word: string | undefined, line: string): number {
  if (word === undefined || !/^\d+$/.test(word)) throw new Error(`not a line of a scheduler trace: ${line}`);
  return Number(word);
}
