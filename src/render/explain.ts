import type { ExplainedStep, ExplainedWord, Explanation } from '../../analyze/report/explain.js';
import type { Frame } from '../../analyze/report/model.js';
import { shortPath } from './table.js';
import { runtimeSuffix } from './runtimes.js';
import { printable } from './text.js';
import { padEnd, widthOf } from './width.js';

/** Columns of a line, except that names of functions are printed whole. */
const WIDTH = 100;
/** Columns of an address and of a value: those of user space have at most 12 digits after `0x`. */
const WORD_WIDTH = 14;

/** How a stack was followed, innermost function first: for each step what is there, the rule, and what the rule used. */
export function explanationText(explanation: Explanation, runtime = ''): string {
  const { goid, status, waitReason, start, steps, truncated, advice } = explanation;
  const blocks = [
    [
      `goroutine ${goid} [${printable(waitReason ?? status)}]${runtimeSuffix(runtime)}`,
      ...wrap(start.message),
      ...start.words.map(wordLine),
    ],
    ...steps.map((step, i) => stepLines(step, i + 1)),
    [
      ...wrap(truncated === null ? 'The stack is whole.' : `The stack ends early: ${printable(truncated)}.`),
      ...(advice === null ? [] : wrap(`What to try: ${printable(advice)}.`)),
    ],
  ];
  return blocks.map((lines) => `${lines.join('\n')}\n`).join('\n');
}

function stepLines(step: ExplainedStep, number: number): string[] {
  const { rule, message, func, pc, sp, lr, trap, frameSize, frames, words } = step;
  const fp = frames.at(-1)?.fp;
  return [
    `${number}. ${func === null ? 'code that is not Go' : printable(func)}`,
    ...frames.flatMap(frameLines),
    `   pc ${pc}, ${trap ? 'the next instruction' : 'a return address'}`,
    `   sp ${sp}${lr === null ? '' : `, lr ${lr}`}${fp === undefined ? '' : `, fp ${fp}`}`,
    ...(frameSize === null
      ? []
      : [`   frame size ${frameSize.bytes}, the same from pc ${frameSize.from} up to ${frameSize.to}`]),
    ...wrap(`${rule}: ${message}`, '   '),
    ...words.map(wordLine),
  ];
}

/** The line of the frame itself, and two lines for each call that is inlined into it. */
function frameLines({ func, file, line, inlined }: Frame): string[] {
  const room = WIDTH - 6 - String(line).length;
  const place = `${printable(shortPath(file, room))}:${line}`;
  return inlined ? [`   ${printable(func)} (inlined)`, `     ${place}`] : [`   ${place}`];
}

function wordLine({ name, addr, value }: ExplainedWord): string {
  return `   ${padEnd(addr ?? 'register', WORD_WIDTH)}  ${padEnd(value ?? 'not there', WORD_WIDTH)}  ${name}`;
}

/** Breaks a text into lines at its spaces. */
function wrap(text: string, indent = ''): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    if (line.length > indent.length && widthOf(line) + 1 + widthOf(word) > WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += line.length > indent.length ? ` ${word}` : word;
  }
  return [...lines, line];
}
