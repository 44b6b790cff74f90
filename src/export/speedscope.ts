import { basename } from 'node:path/posix';
import { targetOfAll } from '../../analyze/report/all-runtimes.js';
import { linesOf, type SharedLine, type SharedStack } from '../../analyze/report/shared-stacks.js';
import { jsonText } from '../render/text.js';
import { version } from '../version.js';
import type { Output } from '../output.js';
import type { Source } from './model.js';
import { countStacks, CUT, type StackCount } from './stack-counts.js';

const SCHEMA = 'https://www.speedscope.app/file-format-schema.json';

/** The file format of speedscope.app: one profile that counts goroutines, and one that adds up how long they have waited. */
export async function exportSpeedscope(output: Output, source: Source): Promise<void> {
  const frames = new Frames();
  const counts = [...countStacks(source, (stack) => frames.of(stack)).values()];
  counts.sort((a, b) => b.count - a.count);
  const { bin, pid } = targetOfAll(source.programs);
  const head = {
    $schema: SCHEMA,
    exporter: `gospy ${version()}`,
    name: `${basename(bin)}, process ${pid}`,
    activeProfileIndex: 0,
  };
  await output.write(`${jsonText(head).slice(0, -1)},"shared":{"frames":[`);
  await writeItems(output, frames.all, jsonText);
  await output.write(']},"profiles":[');
  await writeProfile(output, frames, counts, { name: 'goroutines', unit: 'none', weigh: ({ count }) => count });
  await output.write(',');
  await writeProfile(output, frames, counts, { name: 'wait', unit: 'nanoseconds', weigh: ({ waitNs }) => waitNs });
  await output.write(']}\n');
}

interface Weighing {
  readonly name: string;
  readonly unit: 'none' | 'nanoseconds';
  readonly weigh: (counted: StackCount) => number;
}

async function writeProfile(
  output: Output,
  frames: Frames,
  counts: readonly StackCount[],
  { name, unit, weigh }: Weighing,
): Promise<void> {
  const total = counts.reduce((sum, counted) => sum + weigh(counted), 0);
  const head = { type: 'sampled', name, unit, startValue: 0, endValue: total };
  await output.write(`${jsonText(head).slice(0, -1)},"samples":[`);
  await writeItems(output, counts, ({ stack }) => `[${frames.of(stack)}]`);
  await output.write('],"weights":[');
  await writeItems(output, counts, (counted) => String(weigh(counted)));
  await output.write(']}');
}

async function writeItems<T>(output: Output, items: Iterable<T>, textOf: (item: T) => string): Promise<void> {
  let separator = '\n';
  for (const item of items) {
    await output.write(separator + textOf(item));
    separator = ',\n';
  }
}

interface Frame {
  readonly name: string;
  readonly file?: string;
  readonly line?: number;
}

/** Numbers the frames of stacks. */
class Frames {
  readonly all: Frame[] = [];
  readonly #numbers = new Map<string, number>();

  /** The numbers of a stack's frames, the outermost first, with commas between. */
  of(stack: SharedStack): string {
    const numbers = [...linesOf(stack)].map((line) => this.#numberOf(frameOf(line))).reverse();
    return [...(stack.truncated === null ? [] : [this.#numberOf({ name: CUT })]), ...numbers].join();
  }

  #numberOf(frame: Frame): number {
    const key = `${frame.line ?? 0} ${frame.file ?? ''}\n${frame.name}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.all.push(frame) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

function frameOf({ func, file, line }: SharedLine): Frame {
  return { name: func, file, line };
}
