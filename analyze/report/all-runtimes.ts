import { basename } from 'node:path/posix';
import type { GoProgram, Programs } from '../program.js';
import type { Warning } from '../warnings.js';
import { answer, StreamedAnswer, type Answer } from './answer.js';
import { crashOfAll } from './crash.js';
import { Describer, listGoroutines, selectGoroutines, type Detail, type Details, type Query } from './goroutines.js';
import { bySize, groupGoroutines, type Group, type GroupBy } from './groups.js';
import { byCount, byVerdict, findLeaks, type Leaks } from './leaks.js';
import { buildView, type LiveView, type ViewQuery } from './live-view.js';
import { LongList } from './long-list.js';
import { findMissing, type Missing } from './missing.js';
import type { Runtime, Summary, Target, ThreadReport } from './model.js';
import { compareBy, type Selection } from './selection.js';
import { runtimeOf, summarize, targetOf } from './summary.js';
import { listThreads } from './threads.js';
import type { WaitQuery, WaitReport } from './wait-documents.js';
import { reportWaits } from './waits.js';

/**
 * Reports on a process with any number of Go runtimes, put together from those on each of them. Goroutines come one
 * runtime after another, unless they are sorted.
 */

/** Says what was read. The file, its release and gomaxprocs are those of the first runtime. */
export function targetOfAll(programs: Programs): Target {
  return { ...targetOf(programs[0]), crash: crashOfAll(programs) };
}

/** Says what runtimes there are. `goroutines` is how many of each have not ended, where they are counted already. */
export function runtimesOf(programs: Programs, goroutines: readonly number[] = []): Runtime[] {
  return programs.map((program, i) => runtimeOf(program, goroutines[i]));
}

/** What the capture warned of, and what could not be found out of any program so far. */
export function warningsOf(programs: Programs): Warning[] {
  return withoutRepeats(programs.flatMap((program) => answer(program, null).warnings));
}

/** The overview. Counts of goroutines are sums; `sched` is that of the first runtime. */
export function summarizeAll(programs: Programs): Answer<Summary> {
  const answers = programs.map(summarize);
  return {
    value: sumUp(
      programs,
      answers.map(({ value }) => value),
    ),
    warnings: joined(answers),
  };
}

/** Longest waits that the overview of all shows, as that of one does. */
const LONGEST_WAITS = 5;

/** The goroutines of all runtimes that are leaked, or may be, what is proved first. */
export function findAllLeaks(programs: Programs): Answer<Leaks> {
  const answers = programs.map(findLeaks);
  const groups = answers.flatMap(({ value }) => value.groups).sort(byVerdict);
  const alive = answers.flatMap(({ value }) => value.alive).sort(byCount);
  return { value: { proof: answers[0]?.value.proof ?? null, groups, alive }, warnings: joined(answers) };
}

/** Puts the overviews of all programs together. */
export function sumUp(programs: Programs, parts: readonly Summary[]): Summary {
  const [first] = parts;
  if (first === undefined) throw new RangeError('there is no program');
  const goroutines = { ...first.goroutines };
  for (const part of parts.slice(1)) {
    for (const status of Object.keys(goroutines) as (keyof Summary['goroutines'])[]) {
      goroutines[status] += part.goroutines[status];
    }
  }
  const waits = parts.flatMap(({ longestWaits }) => longestWaits);
  return {
    target: targetOfAll(programs),
    runtimes: parts.flatMap(({ runtimes }) => runtimes),
    ps: parts.flatMap(({ ps }) => ps),
    threads: first.threads,
    goroutines,
    sched: first.sched,
    longestWaits: waits.sort((a, b) => b.waitSinceNs - a.waitSinceNs).slice(0, LONGEST_WAITS),
    findings: parts.flatMap(({ findings }) => findings),
  };
}

/** The selected goroutines, in as much detail as is asked for. */
export function listAll<D extends Detail>(
  programs: Programs,
  detail: D,
  query: Query = {},
): StreamedAnswer<Details[D]> {
  const { selection = {}, sort = 'goid' } = query;
  const inTurn = function* (): Iterable<Details[D]> {
    for (const program of programs) yield* listGoroutines(program, detail, query);
  };
  const sorted = function* (): Iterable<Details[D]> {
    const compare = compareBy(sort);
    const selected = programs.flatMap((program) => {
      const describer = new Describer(program);
      return [...selectGoroutines(program, describer, selection)].map((described) => ({ ...described, describer }));
    });
    selected.sort((a, b) => compare(a.goroutine, b.goroutine));
    for (const { g, goroutine, describer } of selected) yield describer.complete[detail](g, goroutine);
  };
  const isSorted = sort !== 'goid' && programs.length > 1;
  return new StreamedAnswer(isSorted ? sorted : inTurn, () => warningsOf(programs));
}

/** Groups the selected goroutines of each runtime, the largest group of all first. */
export function groupAll(programs: Programs, by: GroupBy, selection: Selection = {}): Answer<Group[]> {
  const answers = programs.map((program) => groupGoroutines(program, by, selection));
  return { value: answers.flatMap(({ value }) => value).sort(bySize), warnings: joined(answers) };
}

/**
 * All threads of the process: those of the Ms of each runtime, then those that none of them knows. A thread on which two
 * runtimes have an M, as one that calls from the one into the other, is listed for each.
 */
export function listAllThreads(programs: Programs): Answer<ThreadReport[]> {
  const answers = programs.map((program) => listThreads(program, programs));
  const threads = answers.flatMap(({ value }) => value);
  const ofMachines = threads.filter(({ m }) => m !== null);
  const known = new Set(ofMachines.map(({ tid }) => tid));
  const others = (answers[0]?.value ?? []).filter(({ m, tid }) => m === null && !known.has(tid));
  return { value: [...ofMachines, ...others], warnings: joined(answers) };
}

/** Who waits for whom in each runtime: goroutines of one never wait for those of another. */
export function waitsOfAll(programs: Programs, query: WaitQuery = {}): Answer<WaitReport> {
  const answers = programs.map((program) => reportWaits(program, query));
  const parts = answers.map(({ value }) => value);
  const joinedLists = <T>(lists: readonly Iterable<T>[]): Iterable<T> => ({
    *[Symbol.iterator]() {
      for (const list of lists) yield* list;
    },
  });
  const dues = parts.flatMap(({ ends }) => ends.nextDueNs ?? []);
  const value = {
    goroutines: joinedLists(parts.map(({ goroutines }) => goroutines)),
    edges: joinedLists(parts.map(({ edges }) => edges)),
    cycles: parts.flatMap(({ cycles }) => cycles),
    roots: LongList.joining(parts.map(({ roots }) => roots)),
    chains: LongList.joining(parts.map(({ chains }) => chains)),
    things: LongList.joining(parts.map(({ things }) => things)),
    chain: parts.flatMap(({ chain }) => chain),
    ends: {
      io: parts.reduce((sum, { ends }) => sum + ends.io, 0),
      timers: parts.reduce((sum, { ends }) => sum + ends.timers, 0),
      nextDueNs: dues.length === 0 ? null : Math.min(...dues),
    },
  };
  return { value, warnings: joined(answers) };
}

/** Follows every stack to its end. */
export function findAllMissing(programs: Programs): Answer<Missing> {
  const answers = programs.map(findMissing);
  const parts = answers.map(({ value }) => value);
  const value = {
    stacks: parts.flatMap(({ stacks }) => stacks),
    more: parts.reduce((sum, { more }) => sum + more, 0),
    unreadable: parts.reduce((sum, { unreadable }) => sum + unreadable, 0),
  };
  return { value, warnings: joined(answers) };
}

/** The warnings of several answers about one image. */
export function joined(answers: readonly Pick<Answer<unknown>, 'warnings'>[]): Warning[] {
  return withoutRepeats(answers.flatMap(({ warnings }) => warnings));
}

/** What the capture warned of is in the answer about each runtime. */
function withoutRepeats(warnings: readonly Warning[]): Warning[] {
  const keyOf = ({ code, goid, runtime, message }: Warning): string => JSON.stringify([code, goid, runtime, message]);
  return [...new Map(warnings.map((warning) => [keyOf(warning), warning])).values()];
}

/** What a screen shows of all programs. Where there are several, the key of a group begins with {@link keyPrefix}. */
export function viewOfAll(programs: Programs, question: ViewQuery): LiveView {
  const [first, ...more] = programs;
  if (more.length === 0) return buildView(first, question);
  const { by, open, goid } = question;
  const isOpen = ({ runtime }: GoProgram): boolean => open?.startsWith(keyPrefix(runtime)) === true;
  const views = programs.map((program) => {
    const key = isOpen(program) ? (open?.slice(keyPrefix(program.runtime).length) ?? null) : null;
    return buildView(program, { by, open: key, goid: key === null ? null : goid });
  });
  const shown = views[programs.findIndex(isOpen)];
  const groups = views.flatMap((view, i) => {
    const prefix = keyPrefix(programs[i]?.runtime ?? first.runtime);
    return view.groups.map((group) => ({ ...group, key: prefix + group.key }));
  });
  return {
    question,
    summary: sumUp(
      programs,
      views.map(({ summary }) => summary),
    ),
    groups: groups.sort(bySize),
    labelKeys: [...new Set(views.flatMap(({ labelKeys }) => labelKeys))].sort(),
    members: open === null ? null : (shown?.members ?? []),
    goroutine: shown?.goroutine ?? null,
    warnings: joined(views),
  };
}

/** `2 libsh.so: `, before what is shown of one of several runtimes. */
export function keyPrefix({ n, file }: Pick<Runtime, 'n' | 'file'>): string {
  return `${n} ${basename(file)}: `;
}
