import type { CoreInfo } from '../targets/core-info.js';
import { crashLine } from './crash.js';
import { factLines, type Fact } from './facts.js';
import { programFacts } from './runtimes.js';
import { pluralize, printable, size, withThousands } from './text.js';

/** Items of a long list that text shows. */
const SHOWN = 20;

/** What is in a core, a line a fact; a crash comes first. */
export function coreInfoText(path: string, info: CoreInfo): string {
  const { target, executable, executableFound } = info;
  const whole =
    info.missingBytes === 0
      ? 'yes, as far as its headers tell'
      : `no, ${withThousands(info.missingBytes)} bytes are missing`;
  const facts = factLines([
    ['file', `${printable(path)}, an ELF core of ${size(info.sizeBytes)}`],
    ['whole', whole],
    ...info.problems.map((problem): Fact => ['problem', printable(problem)]),
    ...listFacts(info.cut, 'cut', ({ start, end, path: file }) => `${start}-${end} ${printable(file)}`.trimEnd()),
    ...programFacts(target, info.runtimes),
    ['process', `pid ${info.pid}`],
    ['build id', printable(executable.buildId ?? executable.goBuildId ?? 'not known')],
    ['executable', executableFound === null ? 'not found' : `${printable(executableFound)}, the same code`],
    ['threads', withThousands(info.threads)],
    ['mappings', withThousands(info.mappings)],
    ['memory', `${size(info.memoryBytes)} of the process`],
    ...goroutineFacts(info),
  ]);
  return crashLine(target?.crash ?? null) + facts;
}

function goroutineFacts({ missing }: CoreInfo): Fact[] {
  if (missing === null) return [['goroutines', 'none can be read']];
  const { stacks, more, unreadable } = missing;
  const incomplete = stacks.length + more;
  const facts: Fact[] = [];
  if (incomplete + unreadable === 0) facts.push(['goroutines', 'all are whole']);
  if (unreadable > 0) facts.push(['lost', `${pluralize(unreadable, 'goroutine')} of which nothing can be read`]);
  if (incomplete > 0) facts.push(['incomplete', pluralize(incomplete, 'goroutine')]);
  facts.push(...listFacts(stacks, 'incomplete', ({ goid, reason }) => `goroutine ${goid}: ${printable(reason)}`));
  return facts;
}

function listFacts<T>(items: readonly T[], label: string, text: (item: T) => string): Fact[] {
  const facts = items.slice(0, SHOWN).map((item): Fact => [label, text(item)]);
  const more = items.length - facts.length;
  return more > 0 ? [...facts, [label, `and ${withThousands(more)} more (--json has them)`]] : facts;
}
