import type { PrintedArgument, PrintedFrame, PrintedGoroutine, PrintQuery } from '../../analyze/report/print.js';
import type { ShownValue } from '../../analyze/types/value-tree.js';
import { runtimeSuffix } from './runtimes.js';
import { jsonText, printable } from './text.js';

/** The frames or the arguments of a goroutine, or one argument with its value. */
export function printedText(printed: PrintedGoroutine, { frame, argument }: PrintQuery, runtime = ''): string {
  const { goid, status, waitReason, frames, truncated, torn } = printed;
  const lines = [
    `goroutine ${goid} [${printable(waitReason ?? status)}]${runtimeSuffix(runtime)}`,
    ...(torn ? ['It ran while it was read: words and values may be of different moments.'] : []),
    ...frames.flatMap((one) => [
      `${one.n}  ${printable(one.func)}(${one.args ?? '...'})`,
      `   ${printable(one.file)}:${one.line}`,
      ...(one.arguments ?? []).flatMap((shown) => argumentLines(one, shown, frame !== null, argument !== null)),
    ]),
    ...(truncated === null || frame !== null ? [] : [`The stack ends early: ${printable(truncated)}.`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** In a list of frames, those of which the type is known. */
function argumentLines(frame: PrintedFrame, argument: PrintedArgument, isAsked: boolean, isOne: boolean): string[] {
  const { n, words, type, certainty, evidence, value } = argument;
  const what = type === null ? words.map((word) => word.value).join(' ') || '_' : printable(type);
  const head = `   ${frame.n}.${n}  ${what}`;
  if (!isAsked) return type === null ? [] : [`${head}${certainty === 'sure' ? '' : ', probably'}`];
  const why = evidence.map(({ message }) => printable(message)).join('; ');
  const line = `${head}${certainty === null ? '' : `, ${certainty}`}: ${why}`;
  return isOne && value !== null ? [line, '', ...valueLines(value, '', '')] : [line];
}

/** A value, its first line behind `label`. */
function valueLines(value: ShownValue, label: string, indent: string): string[] {
  const { head, parts } = described(value, true);
  return [`${indent}${label}${head}`, ...parts.flatMap(([name, part]) => valueLines(part, `${name}: `, `${indent}  `))];
}

/** What is in the first line of a value, and what is below it by name. */
interface Described {
  readonly head: string;
  readonly parts: readonly (readonly [name: string, value: ShownValue])[];
}

function described(value: ShownValue, withType: boolean): Described {
  const {
    type,
    nil,
    addr,
    func,
    to,
    closed,
    capacity,
    length,
    omitted,
    fields = [],
    elements = [],
    entries = [],
  } = value;
  const target = to === undefined ? null : described(to, type !== `*${to.type}`);
  const lengths = length === undefined || value.value !== undefined || nil === true ? '' : `len ${length}`;
  const inline = numbersText(elements);
  const words = [
    withType ? printable(type) : '',
    addr ?? '',
    nil === true ? 'nil' : '',
    func === undefined ? '' : printable(func),
    value.value === undefined ? '' : scalarText(value),
    capacity === undefined || capacity === length || lengths === '' ? lengths : `${lengths} of ${capacity}`,
    closed === true ? 'closed' : '',
    inline ?? '',
    omitted === undefined ? '' : `(${printable(omitted.message)})`,
    target?.head ?? '',
  ];
  return {
    head: words.filter((word) => word !== '').join(' '),
    parts: [
      // Blank fields hold nothing that a program can read.
      ...fields.filter(({ name }) => name !== '_').map((field) => [printable(field.name), field.value] as const),
      ...(inline === null ? elements : []).map((element, i) => [String(i), element] as const),
      ...entries.flatMap(({ key, value }, i) => {
        if (key.value !== undefined) return [[scalarText(key), value] as const];
        return [[`key ${i}`, key] as const, [`value ${i}`, value] as const];
      }),
      ...(target?.parts ?? []),
    ],
  };
}

/** Numbers as they are, and strings, which have a length, in quotes. */
function scalarText({ value, length }: ShownValue): string {
  if (length === undefined || typeof value !== 'string') return String(value);
  const cut = Buffer.byteLength(value) < length ? `... (${length} bytes)` : '';
  return `${jsonText(value)}${cut}`;
}

/** Numbers in one line, bytes that are text as that; null for other elements. */
function numbersText(elements: readonly ShownValue[]): string | null {
  const numbers = elements.flatMap(({ type, value }) => (typeof value === 'number' ? [{ type, value }] : []));
  if (numbers.length === 0 || numbers.length < elements.length) return null;
  const isText = numbers.every(({ type, value }) => type === 'uint8' && value >= 0x20 && value < 0x7f);
  return isText
    ? jsonText(String.fromCharCode(...numbers.map(({ value }) => value)))
    : `[${numbers.map(({ value }) => value).join(' ')}]`;
}
