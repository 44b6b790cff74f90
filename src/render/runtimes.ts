import { basename } from 'node:path';
import type { Programs } from '../../analyze/program.js';
import type { Runtime, Target } from '../../analyze/report/model.js';
import type { Fact } from './facts.js';
import { pluralize, printable } from './text.js';

/** How text names a runtime by its number: `2 libsh.so`. Empty where the process has only one. */
export type RuntimeName = (n: number | null | undefined) => string;

/** Returns how text names the runtimes of a process. */
export function runtimeNames(runtimes: readonly Pick<Runtime, 'n' | 'file'>[]): RuntimeName {
  if (runtimes.length <= 1) return ONLY_ONE;
  const names = new Map(runtimes.map(({ n, file }) => [n, `${n} ${printable(basename(file))}`]));
  return (n) => (n === null || n === undefined ? '' : (names.get(n) ?? ''));
}

/** Returns how text names the runtimes of programs. */
export function namesOf(programs: Programs): RuntimeName {
  return runtimeNames(programs.map(({ runtime }) => runtime));
}

/** For text about a process with one runtime. */
export const ONLY_ONE: RuntimeName = () => '';

/** The Go programs of a file, a fact each. */
export function programFacts(target: Target | null, runtimes: readonly Runtime[]): Fact[] {
  if (target === null) return [];
  const hosted = target.executable === target.bin ? [] : [['loaded by', printable(target.executable)] as const];
  const programs = runtimes.map(({ n, file, goVersion, goroutines }): Fact => {
    const which = runtimes.length === 1 ? '' : `, runtime ${n} with ${pluralize(goroutines, 'goroutine')}`;
    return ['program', `${printable(file)}, Go ${printable(goVersion)}, ${target.arch}${which}`];
  });
  return [...programs, ...hosted];
}

/** The head of the column of runtimes in a table; nothing where there is only one. */
export function runtimeHead(nameOf: RuntimeName): string[] {
  return nameOf === ONLY_ONE ? [] : ['RUNTIME'];
}

/** The cell below {@link runtimeHead}. */
export function runtimeCell(nameOf: RuntimeName, n: number | null): string[] {
  return nameOf === ONLY_ONE ? [] : [nameOf(n)];
}

/** ` [runtime 2 libsh.so]`, for the end of a line; empty where there is only one. */
export function runtimeSuffix(name: string): string {
  return name === '' ? '' : ` [runtime ${name}]`;
}
