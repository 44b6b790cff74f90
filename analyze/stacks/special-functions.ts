import { isUnnamedOfRuntime } from '../runtime/removed-names.js';

/**
 * Kinds of functions that a stack cannot be followed through by the function tables alone. They are found by name and
 * not by funcID: the names are the same from Go 1.12 to 1.27, while the numbers changed four times.
 */
export type SpecialFunc =
  // The outermost functions of goroutines and threads.
  | 'goexit'
  | 'mstart'
  | 'rt0_go'
  // They switch between a goroutine's stack and the system stack of its thread.
  | 'mcall'
  | 'morestack'
  | 'systemstack'
  | 'asmcgocall'
  | 'cgocallback'
  | 'gogo'
  | 'racecall'
  // C code of the race detector calls it.
  | 'raceCallback'
  // They switch to the system stack to ask the vDSO for the time.
  | 'vdsoClock'
  // They align SP for a call of a C function.
  | 'alignsStack'
  // A signal's handler, and what returns from it.
  | 'sigtramp'
  | 'sigreturn'
  // A signal handler makes the interrupted code seem to have called them.
  | 'fakedCall'
  // It runs on the system stack, and changes where its goroutine goes on after a panic.
  | 'recovery';

const CLOCKS = ['runtime.nanotime', 'runtime.nanotime1', 'runtime.walltime', 'runtime.walltime1', 'time.now'] as const;
const ALIGNING = ['runtime.callCgoMmap', 'runtime.callCgoMunmap', 'runtime.callCgoSigaction'] as const;

const BY_NAME: ReadonlyMap<string, SpecialFunc> = new Map([
  ['runtime.goexit', 'goexit'],
  ['runtime.mstart', 'mstart'],
  ['runtime.rt0_go', 'rt0_go'],
  ['runtime.mcall', 'mcall'],
  ['runtime.morestack', 'morestack'],
  ['runtime.systemstack', 'systemstack'],
  ['runtime.asmcgocall', 'asmcgocall'],
  ['runtime.cgocallback', 'cgocallback'],
  ['runtime.cgocallback_gofunc', 'cgocallback'],
  ['runtime.gogo', 'gogo'],
  ['gogo', 'gogo'],
  ['runtime.racecall', 'racecall'],
  ['racecall', 'racecall'],
  ['msancall', 'racecall'],
  ['asancall', 'racecall'],
  ['runtime.racecallbackthunk', 'raceCallback'],
  ...CLOCKS.map((name) => [name, 'vdsoClock'] as const),
  ...ALIGNING.map((name) => [name, 'alignsStack'] as const),
  ['runtime.sigtramp', 'sigtramp'],
  ['runtime.cgoSigtramp', 'sigtramp'],
  ['runtime.sigreturn', 'sigreturn'],
  ['runtime.sigreturn__sigaction', 'sigreturn'],
  ['runtime.sigpanic', 'fakedCall'],
  ['runtime.asyncPreempt', 'fakedCall'],
  ['runtime.debugCallV1', 'fakedCall'],
  ['runtime.debugCallV2', 'fakedCall'],
  ['runtime.recovery', 'recovery'],
]);

/** The kind of a function by the linker's name for it; null for ordinary ones. */
export function specialFunc(name: string): SpecialFunc | null {
  return BY_NAME.get(name) ?? null;
}

/** Functions that write SP in ways that their tables do not follow (asm_*.s, race_*.s, sys_linux_*.s). */
const WRITES_SP: ReadonlySet<SpecialFunc> = new Set([
  ...(['mcall', 'morestack', 'rt0_go', 'asmcgocall', 'cgocallback', 'systemstack'] as const),
  ...(['gogo', 'racecall', 'raceCallback', 'vdsoClock', 'alignsStack'] as const),
]);

/** True for functions that Go 1.17 and newer mark with SPWRITE; older releases mark none. */
export function writesSp(special: SpecialFunc | null): boolean {
  return special !== null && WRITES_SP.has(special);
}

/** Functions that write SP only to leave the goroutine's stack. */
const LEAVES_STACK: ReadonlySet<SpecialFunc> = new Set([
  ...(['mcall', 'morestack', 'asmcgocall', 'systemstack', 'gogo', 'racecall', 'vdsoClock'] as const),
]);

/** True for functions whose tables hold as long as SP is on the goroutine's stack. */
export function leavesStack(special: SpecialFunc | null): boolean {
  return special !== null && LEAVES_STACK.has(special);
}

/**
 * Functions that change the saved registers of interrupted code one after another, until it seems to have called
 * sigpanic or asyncPreempt: signal_arm64.go and signal_amd64.go (signal_amd64x.go in Go 1.12).
 */
const FAKES_CALL: ReadonlySet<string> = new Set(['runtime.(*sigctxt).pushCall', 'runtime.(*sigctxt).preparePanic']);

/** True where the function of this name may have changed some of the interrupted registers and not yet the others. */
export function fakesCall(name: string): boolean {
  return FAKES_CALL.has(name) || isUnnamedOfRuntime(name);
}

/** Functions of panic.go that leave the goroutine's stack for recovery. All are called directly. */
const CALLS_RECOVERY: ReadonlySet<string> = new Set([
  'runtime.gopanic',
  'runtime.Goexit',
  'runtime.(*_panic).nextDefer',
]);

/** True for functions that a panic goes through, and that have recovery called when it is recovered. */
export function callsRecovery(name: string): boolean {
  return CALLS_RECOVERY.has(name);
}
