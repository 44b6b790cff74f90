import type { GoroutineStatus } from '../runtime/goroutine.js';
import type { ProcessorStatus } from '../runtime/processor.js';
import type { Warning } from '../warnings.js';

/**
 * The plain data that reports are made of, shaped as docs/cli.md promises it in JSON. Addresses are hex strings.
 */

/** A place in the program. */
export interface Loc {
  readonly func: string;
  readonly file: string;
  readonly line: number;
  readonly pc: string;
}

/** One frame of a stack, innermost first; an inlined frame carries the pc, sp and fp of the frame it is inlined in. */
export interface Frame extends Loc {
  readonly sp: string;
  readonly fp: string;
  readonly inlined: boolean;
}

/** A goroutine that made the one it is given for, or one of its ancestors, as it stood at the go statement. */
export interface Ancestor {
  readonly goid: number;
  /** Innermost first; the runtime keeps no stack pointers. */
  readonly frames: readonly Loc[];
  readonly creator: Loc | null;
}

export interface Goroutine {
  readonly goid: number;
  readonly status: GoroutineStatus;
  /** The runtime's own words, or null. */
  readonly waitReason: string | null;
  /** Age at capture in nanoseconds, a lower bound; null where the runtime has not stamped it. */
  readonly waitSinceNs: number | null;
  readonly system: boolean;
  /** tid as the host sees it. */
  readonly thread: { readonly m: number; readonly tid: number } | null;
  readonly lockedToThread: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly parentGoid: number | null;
  readonly creator: Loc | null;
  readonly start: Loc | null;
  readonly entry: Loc | null;
  readonly current: Loc | null;
  readonly user: Loc | null;
  readonly frames: readonly Frame[];
  readonly truncated: string | null;
  readonly torn: boolean;
  /** The parent first; only beside frames, and where GODEBUG=tracebackancestors was on. */
  readonly ancestors?: readonly Ancestor[];
}

/** How a program ended. */
export interface Crash {
  /** The signal of the fault, such as SIGSEGV; where there was none, the one that ended the process. */
  readonly signal: string;
  /** si_code of that signal. */
  readonly code: number;
  /** The address at fault; null where the signal has none. */
  readonly addr: string | null;
  /** The signal that ended the process: the runtime makes SIGABRT of a panic under GOTRACEBACK=crash. */
  readonly endedBy: string;
  /** The goroutine at fault; null where the runtime itself was. */
  readonly goid: number | null;
  /** Its thread. */
  readonly tid: number;
}

export interface Target {
  readonly kind: 'snapshot' | 'core' | 'live';
  readonly pid: number;
  readonly bin: string;
  /** Without the `go` prefix. */
  readonly goVersion: string;
  readonly arch: string;
  readonly gomaxprocs: number;
  readonly capturedAt: string | null;
  readonly mode: string;
  readonly pauseNs: number | null;
  /** null where the program was alive. */
  readonly crash: Crash | null;
}

export interface Summary {
  readonly target: Target;
  readonly ps: readonly {
    readonly id: number;
    readonly status: ProcessorStatus;
    readonly schedtick: number;
    readonly syscalltick: number;
    /** Id of the M that holds it, or null. */
    readonly m: number | null;
    readonly runqsize: number;
    /** For how long sysmon has seen it run the same goroutine, a lower bound; null where it has not. */
    readonly sinceScheduledNs: number | null;
  }[];
  readonly threads: {
    readonly total: number;
    readonly running: number;
    readonly sleeping: number;
    readonly stopped: number;
    readonly zombie: number;
  };
  /** Dead goroutines are not counted. */
  readonly goroutines: { readonly total: number; readonly system: number } & Readonly<
    Record<Exclude<GoroutineStatus, 'dead'>, number>
  >;
  readonly sched: {
    readonly runqsize: number;
    readonly nmidle: number;
    readonly npidle: number;
    readonly nmspinning: number;
    readonly gcwaiting: boolean;
    /** What the garbage collector does; null where that cannot be told. */
    readonly gcPhase: 'off' | 'mark' | 'mark termination' | null;
  };
  /** Goroutines that are known to have waited longest, the runtime's own left out. */
  readonly longestWaits: readonly LongWait[];
  /** What stands out, the most telling first. */
  readonly findings: readonly Finding[];
  readonly warnings: readonly Warning[];
}

/** A goroutine that has waited for long; `waitSinceNs` is a lower bound. */
export interface LongWait {
  readonly goid: number;
  readonly waitSinceNs: number;
  readonly waitReason: string | null;
  readonly entry: Loc | null;
}

/** Something to look at first. */
export interface Finding {
  /** A stable word for scripts. */
  readonly code: 'equal-stacks' | 'shared-wait' | 'all-in-syscalls' | 'long-run-queues' | 'long-run';
  /** Of goroutines, or of Ps. */
  readonly count: number;
  /** Some of the goroutines, ascending. */
  readonly goids: readonly number[];
  readonly message: string;
}

/** A thread of the program, with the M that runs on it where there is one. */
export interface ThreadReport {
  /** Id of its M; null for a thread that the runtime does not know. */
  readonly m: number | null;
  /** As the host sees it. */
  readonly tid: number;
  readonly name: string;
  /** The kernel's letter before the stop. */
  readonly state: string;
  /** The goroutine that it runs, or null. */
  readonly goid: number | null;
  readonly frames: readonly Frame[];
  readonly truncated: string | null;
}
