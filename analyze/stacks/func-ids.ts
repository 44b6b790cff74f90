/**
 * Functions that stacks cannot be followed through by their tables alone. By name, not by funcID: the names held from
 * Go 1.12 to 1.27 while the numbers changed four times.
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
  | 'sigtramp';

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
]);

export function specialFunc(name: string): SpecialFunc | null {
  return BY_NAME.get(name) ?? null;
}

/** The funcID of wrappers that the compiler made (internal/abi/symtab.go; runtime/symtab.go before 1.21). */
export function wrapperFuncID(minor: number): number {
  if (minor <= 13) return 20;
  if (minor <= 17) return 22;
  if (minor <= 21) return 21;
  return minor <= 24 ? 22 : 23;
}
