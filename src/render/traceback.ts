import type { Traceback, TracebackLine } from '../../analyze/report/model.js';
import { printable } from './text.js';

const MINUTE_NS = 60e9;

/**
 * One goroutine as Go's own traceback prints it (GOTRACEBACK=system; traceback.go), with every frame. Arguments that
 * are not known are printed as `...`, as the runtime does for inlined calls.
 */
export function tracebackText({ goroutine, lines, truncated, creator, ancestors }: Traceback): string {
  const { goid, parentGoid } = goroutine;
  const parent = parentGoid === null ? '' : ` in goroutine ${parentGoid}`;
  return [
    `goroutine ${goid} [${stateText(goroutine)}]:\n`,
    ...lines.map(frameText),
    truncated === null ? '' : `... the stack ends here: ${printable(truncated)}\n`,
    creator === null || goid === 1 ? '' : creatorText(creator, parent),
    ...ancestors.flatMap((ancestor) => [
      `[originating from goroutine ${ancestor.goid}]:\n`,
      ...ancestor.lines.map(frameText),
      ancestor.creator === null || ancestor.goid === 1 ? '' : creatorText(ancestor.creator, ''),
    ]),
  ].join('');
}

/** As goroutineheader (traceback.go) prints it. */
function stateText({ status, waitReason, waitSinceNs, lockedToThread }: Traceback['goroutine']): string {
  const isLeaked = status === 'leaked';
  const minutes = waitSinceNs === null || isLeaked ? 0 : Math.floor(waitSinceNs / MINUTE_NS);
  return [
    printable(waitReason ?? status) + (isLeaked ? ' (leaked)' : ''),
    ...(minutes >= 1 ? [`${minutes} minutes`] : []),
    ...(lockedToThread ? ['locked to thread'] : []),
  ].join(', ');
}

function frameText(line: TracebackLine): string {
  const func = line.func === 'runtime.gopanic' ? 'panic' : line.func;
  return `${printable(func)}(${line.args ?? '...'})\n${placeText(line)}`;
}

function creatorText(line: TracebackLine, parent: string): string {
  return `created by ${printable(line.func)}${parent}\n${placeText(line)}`;
}

function placeText({ file, line, entryOffset }: TracebackLine): string {
  return `\t${printable(file)}:${line}${entryOffset > 0 ? ` +0x${entryOffset.toString(16)}` : ''}\n`;
}
