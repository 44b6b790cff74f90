/**
 * Functions that stacks cannot be followed through by their tables alone. By name, not by funcID: names have
 * hardly changed from release to release, numbers have.
 */
export type SpecialFunc =
  | 'goexit'
  | 'mstart'
  | 'mcall'
  | 'morestack'
  | 'rt0_go'
  | 'asmcgocall'
  | 'cgocallback'
  | 'sigpanic'
  | 'systemstack'
  | 'injectedCall'
  | 'sigtramp'
  | 'sigreturn'
  | 'gogo'
  | 'racecall'
  | 'clock'
  | 'aligns';

const BY_NAME: ReadonlyMap<string, SpecialFunc> = new Map([
  ['runtime.goexit', 'goexit'],
  ['runtime.mstart', 'mstart'],
  ['runtime.mcall', 'mcall'],
  ['runtime.morestack', 'morestack'],
  ['runtime.rt0_go', 'rt0_go'],
  ['runtime.asmcgocall', 'asmcgocall'],
  ['runtime.cgocallback', 'cgocallback'],
  ['runtime.cgocallback_gofunc', 'cgocallback'],
  ['runtime.sigpanic', 'sigpanic'],
  ['runtime.systemstack', 'systemstack'],
  ['runtime.asyncPreempt', 'injectedCall'],
  ['runtime.debugCallV1', 'injectedCall'],
  ['runtime.debugCallV2', 'injectedCall'],
  ['runtime.sigtramp', 'sigtramp'],
  ['runtime.cgoSigtramp', 'sigtramp'],
  ['runtime.sigreturn', 'sigreturn'],
  ['runtime.sigreturn__sigaction', 'sigreturn'],
  ['runtime.gogo', 'gogo'],
  ['gogo', 'gogo'],
  ['runtime.racecall', 'racecall'],
  ['racecall', 'racecall'],
  ...(['runtime.nanotime', 'runtime.nanotime1', 'runtime.walltime', 'runtime.walltime1', 'time.now'] as const).map(
    (name) => [name, 'clock'] as const,
  ),
  ...(
    ['runtime.callCgoMmap', 'runtime.callCgoMunmap', 'runtime.callCgoSigaction', 'runtime.racecallbackthunk'] as const
  ).map((name) => [name, 'aligns'] as const),
]);

/** What writes SP although it is not marked before Go 1.17 (SPWRITE): asm_*.s, race_*.s, sys_linux_*.s. */
const WRITES_SP: ReadonlySet<SpecialFunc> = new Set([
  ...(['mcall', 'morestack', 'rt0_go', 'asmcgocall', 'cgocallback', 'systemstack'] as const),
  ...(['gogo', 'racecall', 'clock', 'aligns'] as const),
]);

export function writesSp(special: SpecialFunc | null): boolean {
  return special !== null && WRITES_SP.has(special);
}

/** Functions that write SP only in order to leave the goroutine's stack: as long as SP is on it, their tables hold. */
const LEAVES_STACK: ReadonlySet<SpecialFunc> = new Set([
  ...(['mcall', 'morestack', 'asmcgocall', 'systemstack', 'gogo', 'racecall', 'clock'] as const),
]);

export function leavesStack(special: SpecialFunc | null): boolean {
  return special !== null && LEAVES_STACK.has(special);
}

/**
 * What changes the interrupted code's registers, one after another, so that it seems to have called sigpanic or
 * asyncPreempt: signal_amd64.go (signal_amd64x.go in 1.12), signal_arm64.go.
 */
const FAKES_CALL: ReadonlySet<string> = new Set(['runtime.(*sigctxt).pushCall', 'runtime.(*sigctxt).preparePanic']);

export function fakesCall(name: string): boolean {
  return FAKES_CALL.has(name);
}

export function specialFunc(name: string): SpecialFunc | null {
  return BY_NAME.get(name) ?? null;
}
