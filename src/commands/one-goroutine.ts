import type { GoProgram, Programs } from '../../analyze/program.js';
import { findGoroutine } from '../../analyze/report/explain.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { usageError } from '../../snapshots/errors.js';

/** The goroutine that a command is about, and its program. Throws a usage error where there is none, or several. */
export function goroutineOf(programs: Programs, goid: number): { readonly program: GoProgram; readonly g: G } {
  const looked = programs.map((program) => ({ program, found: findGoroutine(program, goid) }));
  const [one, ...more] = looked.flatMap(({ program, found }) => (found.g === null ? [] : [{ program, g: found.g }]));
  if (one === undefined) {
    const count = looked.reduce((sum, { found }) => sum + (found.g === null ? found.count : 0), 0);
    throw usageError(`there is no goroutine ${goid} among the ${count.toLocaleString('en')} that are alive`, {
      hint: '`gospy goroutines` lists them',
    });
  }
  if (more.length > 0) {
    const files = [one, ...more].map(({ program: { runtime } }) => `${runtime.n} (${runtime.file})`).join(', ');
    throw usageError(`${more.length + 1} Go runtimes of the target have a goroutine ${goid}: ${files}`, {
      hint: `name one of them: --runtime ${one.program.runtime.n}`,
    });
  }
  return one;
}
