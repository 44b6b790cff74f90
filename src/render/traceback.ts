import type { Traceback, TracebackLine } from '../../analyze/report/model.js';
import { asBuilt, type PlaceOf } from './place.js';
import type { RuntimeName } from './runtimes.js';
import { printable } from './text.js';

const MINUTE_NS = 60e9;

/** The tracebacks of goroutines, one after another. Where there are several runtimes, a line names each before its own. */
export function* tracebackTexts(
  tracebacks: Iterable<Traceback>,
  nameOf: RuntimeName,
  labels = false,
  placeOf = asBuilt,
): Iterable<string> {
  let separator = '';
  let section = '';
  for (const traceback of tracebacks) {
    const name = nameOf(traceback.goroutine.runtime);
    const heading = name === section ? '' : `runtime ${name}\n\n`;
    yield `${separator}${heading}${tracebackText(traceback, labels, placeOf)}`;
    [separator, section] = ['\n', name];
  }
}

/**
 * One goroutine as Go's own traceback prints it (GOTRACEBACK=system; traceback.go), with every frame. Arguments that
 * are not known are printed as `...`, as the runtime does for inlined calls. `labels` adds pprof labels, as Go 1.27 prints them.
 */
export function tracebackText(
  { goroutine, lines, truncated, creator, ancestors }: Traceback,
  labels = false,
  placeOf = asBuilt,
): string {
  const { goid, parentGoid } = goroutine;
  const parent = parentGoid === null ? '' : ` in goroutine ${parentGoid}`;
  return [
    `goroutine ${goid} [${stateText(goroutine)}]${labels ? labelsText(goroutine.labels) : ''}:\n`,
    ...lines.map((line) => frameText(line, placeOf)),
    truncated === null ? '' : `... the stack ends here: ${printable(truncated)}\n`,
    creator === null || goid === 1 ? '' : creatorText(creator, parent, placeOf),
    ...ancestors.flatMap((ancestor) => [
      `[originating from goroutine ${ancestor.goid}]:\n`,
      ...ancestor.lines.map((line) => frameText(line, placeOf)),
      ancestor.creator === null || ancestor.goid === 1 ? '' : creatorText(ancestor.creator, '', placeOf),
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

/** As goroutineheader prints them since Go 1.27. */
function labelsText(labels: Traceback['goroutine']['labels']): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${quotedAsNeeded(key)}: ${quotedAsNeeded(value)}`);
  return pairs.length === 0 ? '' : ` {${pairs.join(', ')}}`;
}

/** tracebackStringNeedsQuoting (traceback.go) and printquoted (print.go). */
function quotedAsNeeded(text: string): string {
  if (/^[a-zA-Z0-9./_]*$/.test(text)) return text;
  const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\', '"': '\\"' };
  return `"${text.replace(/["\\]|[^ -~]/gu, (c) => escapes[c] ?? escaped(c.codePointAt(0) ?? 0))}"`;
}

function escaped(code: number): string {
  const digits = code.toString(16);
  if (code < 0x7f) return `\\x${digits.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, '0')}` : `\\U${digits.padStart(8, '0')}`;
}

function frameText(line: TracebackLine, placeOf: PlaceOf): string {
  const func = line.func === 'runtime.gopanic' ? 'panic' : line.func;
  return `${printable(func)}(${line.args ?? '...'})\n${lineText(line, placeOf)}`;
}

function creatorText(line: TracebackLine, parent: string, placeOf: PlaceOf): string {
  return `created by ${printable(line.func)}${parent}\n${lineText(line, placeOf)}`;
}

function lineText(line: TracebackLine, placeOf: PlaceOf): string {
  const { entryOffset } = line;
  return `\t${placeOf(line)}${entryOffset > 0 ? ` +0x${entryOffset.toString(16)}` : ''}\n`;
}
