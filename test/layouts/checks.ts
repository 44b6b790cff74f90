import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { RUN_QUEUE } from '../../analyze/runtime/global-checks.js';
import { GLOBAL_SOURCES, GlobalsInCode } from '../../analyze/runtime/global-code.js';
import { MAXMCOUNT } from '../../analyze/runtime/global-scan.js';
import { GOROUTINE_STATUSES, GSCAN } from '../../analyze/runtime/goroutine.js';
import { PROCESSOR_STATUSES } from '../../analyze/runtime/processor.js';
import type { GoRelease } from '../../analyze/runtime/releases.js';
import { runtimeFunctions } from '../../analyze/runtime/runtime-functions.js';
import { GC_PHASES } from '../../analyze/runtime/sched.js';
import { WaitReasons } from '../../analyze/runtime/wait-reasons.js';
import { specialFunc } from '../../analyze/stacks/special-functions.js';
import { Symbolizer } from '../../analyze/stacks/symbolize.js';
import type { BuiltProgram } from './built-program.js';
import { PROBE, type GoSource } from './toolchain.js';

/** More than the runtime has: numbers of wait reasons are bytes. */
const MAX_REASONS = 128;

/** Checks what holds in all known releases and is not in their records. Returns a sentence for each thing that does not. */
export function checkConstants(source: GoSource, program: BuiltProgram): string[] {
  const goroutines = source
    .enumeration('runtime/runtime2.go', '_Gidle')
    .map((name) => (name.endsWith('_unused') ? null : name.slice(2).replace('deadextra', 'dead')));
  const processors = source
    .enumeration('runtime/runtime2.go', '_Pidle')
    .map((name) => name.slice(2).replace('_unused', ''));
  const phases = source
    .enumeration('runtime/mgc.go', '_GCoff')
    .map((name) => name.slice(3).replace('marktermination', 'mark termination'));
  const p = program.layoutOf('p');
  const [runq, runnext] = [p.optional('runq'), p.optional('runnext')];
  const queueLength = runq === null || runnext === null ? null : (runnext - runq) / 8;
  return [
    ...compare('the statuses of goroutines (_Gidle, runtime2.go)', goroutines, GOROUTINE_STATUSES),
    ...compare('the statuses of Ps (_Pidle, runtime2.go)', processors, PROCESSOR_STATUSES),
    ...compare('the phases of the garbage collector (_GCoff, mgc.go)', phases, GC_PHASES),
    ...compare('_Gscan (runtime2.go)', source.constant('Gscan', 'runtime/runtime2.go'), GSCAN),
    ...compare('sched.maxmcount (proc.go)', source.constant('sched.maxmcount', 'runtime/proc.go'), MAXMCOUNT),
    ...compare('len(p.runq) (runtime2.go)', queueLength, RUN_QUEUE),
  ];
}

/** Lists may have grown since an older release: what that release has must be as known. */
function compare(what: string, found: unknown, known: unknown): string[] {
  const expected = Array.isArray(known) && Array.isArray(found) ? known.slice(0, Math.max(1, found.length)) : known;
  if (isDeepStrictEqual(found, expected)) return [];
  return [`${what}: ${JSON.stringify(found)}, and gospy has ${JSON.stringify(known)}`];
}

/** Checks that the code of small functions leads to the runtime's globals, where the symbol table has them. */
export function checkGlobals(program: BuiltProgram): string[] {
  const { memory, table, arch } = program;
  const functions = runtimeFunctions(memory, table, GLOBAL_SOURCES);
  const missing = GLOBAL_SOURCES.filter((name) => !functions.has(name));
  const code = globalsIn(program);
  const { located } = code;
  const found = { ...located, ...(located.sched === undefined ? {} : code.optional(located.sched)) };
  const names = ['allgs', 'allp', 'allm', 'sched', 'g0', 'gomaxprocs', 'gcphase', 'waitReasonStrings'] as const;
  const symbols = program.symbols(new Set(names.map((name) => `runtime.${name}`)));
  return [
    ...missing.map((name) => `${arch}: there is no function runtime.${name}`),
    ...names
      .filter((name) => (found[name] ?? null) !== (symbols.get(`runtime.${name}`) ?? null))
      .map((name) => `${arch}: the code does not lead to runtime.${name} (global-code.ts)`),
  ];
}

function globalsIn(program: BuiltProgram): GlobalsInCode {
  const { memory, arch, table } = program;
  return new GlobalsInCode(memory, arch, table, { of: (struct) => program.layoutOf(struct) });
}

/** The texts of the wait reasons, by number. */
export function waitReasonsOf(program: BuiltProgram): string[] {
  const code = globalsIn(program);
  const { sched } = code.located;
  const strings = sched === undefined ? null : code.optional(sched).waitReasonStrings;
  const reasons = new WaitReasons(program.memory, strings);
  const texts: string[] = [];
  for (let i = 1; i < MAX_REASONS; i++) {
    const text = reasons.at(i);
    if (text === null) break;
    texts.push(text);
  }
  return texts;
}

/** The functions that unwinding treats in a special way, by name. */
export function specialFunctionsOf({ table }: BuiltProgram): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < table.length; i++) {
    const { name } = table.at(i);
    const special = specialFunc(name);
    if (special !== null) found.set(name, special);
  }
  return found;
}

/** Checks that `outer` of the probe has `inner` inlined, each with its line, by the tables that the record describes. */
export function checkInlining({ memory, table, arch }: BuiltProgram, record: GoRelease): string[] {
  const source = readFileSync(PROBE, 'utf8').split('\n');
  const lineOf = (comment: string): number => source.findIndex((line) => line.endsWith(comment)) + 1;
  const expected = [
    `main.inner main.go:${lineOf('// inlined into outer')} inlined`,
    `main.outer main.go:${lineOf('// the call')}`,
  ];
  const symbolizer = new Symbolizer(memory, record);
  for (let i = 0; i < table.length; i++) {
    const func = table.at(i);
    if (func.name !== 'main.outer') continue;
    for (let pc: number = func.entry; pc < func.end; pc += table.quantum) {
      const lines = symbolizer
        .lines(table, func, pc)
        .map(
          ({ name, file, line, inlined }) => `${name} ${file.replace(/.*\//, '')}:${line}${inlined ? ' inlined' : ''}`,
        );
      if (isDeepStrictEqual(lines, expected)) return [];
    }
  }
  return [`${arch}: the inlined call in the probe's main.outer is not found (symbolize.ts)`];
}

/** Functions of the runtime whose working gospy repeats or relies on, by their files in src. */
const MIRRORED: Readonly<Record<string, readonly string[]>> = {
  'runtime/traceback.go': ['initAt', 'resolveInternal', 'next', 'funcNamePiecesForPrint', 'isSystemGoroutine'],
  'runtime/symtab.go': ['pcvalue', 'funcline1', 'funcdata', 'textAddr'],
  'runtime/symtabinl.go': ['newInlineUnwinder', 'next', 'resolveInternal'],
  'runtime/proc.go': ['casgstatus', 'allgadd', 'reentersyscall', 'saveAncestors', 'mexit', 'execute'],
  'runtime/sema.go': ['semacquire1', 'notifyListWait'],
  'runtime/signal_unix.go': ['sighandler', 'adjustSignalStack'],
  'runtime/signal_amd64.go': ['preparePanic', 'pushCall'],
  'runtime/signal_arm64.go': ['preparePanic', 'pushCall'],
  'runtime/pprof/label.go': ['WithLabels'],
  'cmd/link/internal/ld/pcln.go': ['writeFuncs', 'generatePCHeader'],
};

/** The mirrored functions that differ between two releases, as `path name`. */
export function changedFunctions(before: GoSource, now: GoSource): string[] {
  return Object.entries(MIRRORED).flatMap(([path, names]) =>
    names
      .filter((name) => before.functionText(path, name) !== now.functionText(path, name))
      .map((name) => `${path} ${name}`),
  );
}
