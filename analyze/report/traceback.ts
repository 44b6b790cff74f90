import type { GoProgram } from '../program.js';
import type { Frame, Goroutine, Loc } from './model.js';

const MINUTE_NS = 60e9;

/**
 * One goroutine as Go's own traceback prints it (`debug=2`; printing in runtime/traceback.go), every frame included.
 * Arguments are not known: they are `...`, as the runtime has them for inlined calls.
 */
export function tracebackText(program: GoProgram, g: Goroutine): string {
  const lines = [`goroutine ${g.goid} [${state(g)}]:`];
  for (const frame of g.frames) {
    lines.push(`${printed(frame.func)}(...)`, place(program, frame));
  }
  if (g.truncated !== null) lines.push(`... the stack ends here: ${g.truncated}`);
  if (g.creator !== null && g.goid !== 1) {
    const parent = g.parentGoid === null ? '' : ` in goroutine ${g.parentGoid}`;
    lines.push(`created by ${g.creator.func}${parent}`, place(program, g.creator));
  }
  for (const { goid, frames, creator } of g.ancestors ?? []) {
    lines.push(`[originating from goroutine ${goid}]:`);
    for (const frame of frames) lines.push(`${printed(frame.func)}(...)`, place(program, frame));
    if (creator !== null && goid !== 1) lines.push(`created by ${creator.func}`, place(program, creator));
  }
  return `${lines.join('\n')}\n`;
}

function place(program: GoProgram, loc: Loc | Frame): string {
  return `\t${loc.file}:${loc.line}${offset(program, loc)}`;
}

function state({ status, waitReason, waitSinceNs, lockedToThread }: Goroutine): string {
  const minutes = waitSinceNs === null ? 0 : Math.floor(waitSinceNs / MINUTE_NS);
  return [
    waitReason ?? status,
    ...(minutes >= 1 ? [`${minutes} minutes`] : []),
    ...(lockedToThread ? ['locked to thread'] : []),
  ].join(', ');
}

function printed(func: string): string {
  return func === 'runtime.gopanic' ? 'panic' : func;
}

/** Bytes into the function; an inlined call has none of its own. */
function offset(program: GoProgram, place: Loc | Frame): string {
  if ('inlined' in place && place.inlined) return '';
  const pc = Number(place.pc);
  const entry = program.index.at(pc)?.func.entry ?? pc;
  return pc > entry ? ` +0x${(pc - entry).toString(16)}` : '';
}
