import type { GoroutineStatus, LiveStatus } from '../runtime/goroutine.js';
import type { ProcessorStatus } from '../runtime/processor.js';
import type { GcPhase, Sched } from '../runtime/sched.js';
import type { WaitsOn } from '../waits/model.js';

/**
 * The plain data that reports consist of, in the shape that docs/cli.md promises for JSON. Addresses are hex strings.
 */

/** A place in the program. */
export interface Loc {
  readonly func: string;
  readonly file: string;
  readonly line: number;
  readonly pc: string;
}

/** One frame of a stack. An inlined frame has the pc, sp and fp of the frame that it is inlined into. */
export interface Frame extends Loc {
  readonly sp: string;
  readonly fp: string;
  readonly inlined: boolean;
}

/** A frame, and the arguments of its call. */
export interface CallFrame extends Frame {
  /** As a traceback prints them between the parentheses, `...` for an inlined frame; null where they are not known. */
  readonly args: string | null;
  /** A character for each value in `args`: `y` if it is live, `n` if it is marked with `?`, `?` if it is not known. */
  readonly argsLive: string;
  /** The same for whether the garbage collector takes the value for a pointer. */
  readonly argsPointers: string;
}

/** The goroutine that executed a `go` statement, and its stack at that statement. */
export interface Ancestor {
  readonly goid: number;
  /** Innermost first; the runtime keeps no stack pointers. */
  readonly frames: readonly Loc[];
  readonly creator: Loc | null;
}

/** What is known of a goroutine without following its stack. */
export interface Goroutine {
  /** Unique within its runtime. */
  readonly goid: number;
  /** {@link Runtime.n} of its runtime. */
  readonly runtime: number;
  readonly status: GoroutineStatus;
  /** The runtime's own words, or null. */
  readonly waitReason: string | null;
  /** How long it had waited at the capture, in nanoseconds: a lower bound. null where the runtime has not stamped it. */
  readonly waitSinceNs: number | null;
  /** True for the runtime's own goroutines. */
  readonly system: boolean;
  /** The thread that runs it; `tid` as the host sees it. */
  readonly thread: { readonly m: number; readonly tid: number } | null;
  readonly lockedToThread: boolean;
  /** Pprof labels. */
  readonly labels: Readonly<Record<string, string>>;
  readonly parentGoid: number | null;
  /** The `go` statement that made it. */
  readonly creator: Loc | null;
  /** Its function, as the outermost frame of a traceback shows it. */
  readonly start: Loc | null;
  /** The function that the `go` statement names: `start`, seen through wrappers that the compiler made. */
  readonly entry: Loc | null;
  /** Where the scheduler will resume it: its innermost call. */
  readonly current: Loc | null;
  /** True where it moved while it was read. */
  readonly torn: boolean;
}

/** What a goroutine works on, and no more. */
export interface WorkingGoroutine extends Pick<Goroutine, 'goid' | 'runtime'> {
  readonly work: readonly WorkItem[];
}

/** Something that a goroutine works on, as {@link Work} has it. */
export interface WorkItem {
  readonly kind: string;
  /** One line. */
  readonly text: string;
  /** False where it is only probable. */
  readonly sure: boolean;
  /** ISO 8601, UTC; null where it is not known. */
  readonly since: string | null;
  /** What equal work has in common. */
  readonly group: string;
}

/** A goroutine and its innermost frame outside the runtime; null where there is none. */
export interface LocatedGoroutine extends Goroutine {
  readonly user: Loc | null;
  /** At most one thing of each kind; empty where nothing is known. */
  readonly work: readonly WorkItem[];
}

/** ... and its innermost frame outside the standard library, for text. */
export interface PlacedGoroutine extends LocatedGoroutine {
  readonly app: Loc | null;
}

/** What a goroutine waits on, as {@link WaitsOn} has it. */
export interface Wait extends Omit<WaitsOn, 'addr'> {
  readonly addr: string | null;
}

/** A goroutine and its whole stack. */
export interface GoroutineWithStack extends LocatedGoroutine {
  /** One thing, or one for each case of a select; empty where it is not blocked, or what it waits on is not known. */
  readonly waitsOn: readonly Wait[];
  /** Innermost first. */
  readonly frames: readonly CallFrame[];
  /** Why the stack ends early, or null. */
  readonly truncated: string | null;
  /** The parent first; only where GODEBUG=tracebackancestors was on. */
  readonly ancestors?: readonly Ancestor[];
}

/** One line of a stack as a traceback prints it. */
export interface TracebackLine {
  readonly func: string;
  readonly file: string;
  readonly line: number;
  /** Bytes from the start of the function to the pc; 0 where it is not known, and for inlined calls, which have none. */
  readonly entryOffset: number;
  /** As {@link CallFrame.args}; null for lines that are not calls on a stack. */
  readonly args: string | null;
}

/** What Go's own traceback prints of one goroutine. */
export interface Traceback {
  readonly goroutine: Goroutine;
  /** Innermost first. */
  readonly lines: readonly TracebackLine[];
  /** Why the stack ends early, or null. */
  readonly truncated: string | null;
  readonly creator: TracebackLine | null;
  /** The parent first. */
  readonly ancestors: readonly {
    readonly goid: number;
    readonly lines: readonly TracebackLine[];
    readonly creator: TracebackLine | null;
  }[];
}

/** A Go runtime of the process: usually there is one. Each library built with -buildmode=c-shared brings its own. */
export interface Runtime {
  /** Counts from 1: those in the executable first, then by address. */
  readonly n: number;
  /** The executable or the library that it is in, as the process saw it. */
  readonly file: string;
  /** Without the `go` prefix. */
  readonly goVersion: string;
  /** The GNU build id of the file, or null. */
  readonly buildId: string | null;
  readonly gomaxprocs: number;
  /** Goroutines that have not ended. */
  readonly goroutines: number;
}

/** How a program ended. */
export interface Crash {
  /** The signal that was first: that of a fault, such as SIGSEGV, or one that was sent. */
  readonly signal: string;
  /** si_code of that signal. */
  readonly code: number;
  /** The address that could not be accessed; null for signals that have none. */
  readonly addr: string | null;
  /** The process that sent the signal, by its id in the program's pid namespace; null if none did, or it is not known. */
  readonly sender: number | null;
  /** The signal that ended the process: under GOTRACEBACK=crash the runtime raises SIGABRT after a panic. */
  readonly endedBy: string;
  /** The goroutine at fault; null where the thread ran none. */
  readonly goid: number | null;
  /** The runtime that crashed; null where a thread did that is none of Go's. */
  readonly runtime: number | null;
  /** Its thread. */
  readonly tid: number;
}

/** What was read. */
export interface Target {
  readonly kind: 'snapshot' | 'core' | 'live';
  readonly pid: number;
  /** The file that the Go program is in: the executable, or a library that another program has loaded. */
  readonly bin: string;
  /** The file that the process executed. */
  readonly executable: string;
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

/** A P. */
export interface Processor {
  readonly id: number;
  readonly runtime: number;
  readonly status: ProcessorStatus;
  readonly schedtick: number;
  readonly syscalltick: number;
  /** Id of the M that holds it, or null. */
  readonly m: number | null;
  readonly runqsize: number;
  /** For how long sysmon has seen it run the same goroutine, a lower bound; null where it has not. */
  readonly sinceScheduledNs: number | null;
}

/** The Ps, and what all of them share. */
export interface Scheduler {
  readonly ps: readonly Processor[];
  readonly sched: Sched & { readonly gcPhase: GcPhase | null };
}

/** The overview of a program. */
export interface Summary extends Scheduler {
  readonly target: Target;
  /** With what the Ps of each share: {@link Scheduler.sched} is that of the first. */
  readonly runtimes: readonly (Runtime & Pick<Scheduler, 'sched'>)[];
  readonly threads: {
    readonly total: number;
    readonly running: number;
    readonly sleeping: number;
    readonly stopped: number;
    readonly zombie: number;
    /** Threads of which no state is known: a core tells none. */
    readonly unknown: number;
  };
  /** Dead goroutines are not counted. */
  readonly goroutines: { readonly total: number; readonly system: number } & Readonly<Record<LiveStatus, number>>;
  /** Goroutines that are known to have waited longest, without the runtime's own. */
  readonly longestWaits: readonly LongWait[];
  /** What stands out, the most important first. */
  readonly findings: readonly Finding[];
}

/** A goroutine that has waited long; `waitSinceNs` is a lower bound. */
export interface LongWait {
  readonly goid: number;
  readonly runtime: number;
  readonly waitSinceNs: number;
  readonly waitReason: string | null;
  readonly entry: Loc | null;
}

/** Something to look at first. */
export interface Finding {
  /** A word for scripts that does not change between releases. */
  readonly code:
    | 'deadlock'
    | 'leaked'
    | 'lock-waiters'
    | 'equal-stacks'
    | 'shared-wait'
    | 'all-in-syscalls'
    | 'long-run-queues'
    | 'long-run';
  readonly runtime: number;
  /** How many goroutines, or Ps. */
  readonly count: number;
  /** Some of the goroutines, ascending. */
  readonly goids: readonly number[];
  readonly message: string;
}

/** A thread of the process, and the M that runs on it. */
export interface ThreadReport {
  /** Id of its M; null for a thread that no runtime knows. */
  readonly m: number | null;
  /** The runtime of the M, or null. */
  readonly runtime: number | null;
  /** As the host sees it. */
  readonly tid: number;
  readonly name: string;
  /** The kernel's letter before the stop. */
  readonly state: string;
  /** The goroutine that it runs, or null. */
  readonly goid: number | null;
  readonly frames: readonly CallFrame[];
  readonly truncated: string | null;
}
