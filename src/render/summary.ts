import type { Goroutine, Loc, LongWait, PlacedGoroutine, Runtime, Summary } from '../../analyze/report/model.js';
import { LIVE_STATUSES, type LiveStatus } from '../../analyze/runtime/goroutine.js';
import { crashLine } from './crash.js';
import { asBuilt, placeText, type PlaceOf } from './place.js';
import { runtimeNames, runtimeSuffix, type RuntimeName } from './runtimes.js';
import { duration, pluralize, printable, withThousands } from './text.js';

/** The place of a goroutine that its line shows. */
export const PLACES = ['start', 'caller', 'current', 'user', 'app'] as const;
export type Place = (typeof PLACES)[number];

/** The statuses that are always counted, in this order. The others follow if there are any such goroutines. */
const ALWAYS: readonly LiveStatus[] = ['idle', 'running', 'syscall', 'waiting'];

/** The lines above the list of goroutines: the program, its Ps, threads and goroutines, and what stands out. */
export function overview(summary: Summary): string {
  const { target, runtimes, threads, goroutines, longestWaits, findings } = summary;
  const nameOf = runtimeNames(runtimes);
  const others = LIVE_STATUSES.filter((status) => !ALWAYS.includes(status) && goroutines[status] > 0);
  const counts = [
    `${goroutines.total} total`,
    ...[...ALWAYS, ...others].map((status) => `${goroutines[status]} ${status}`),
  ];
  const facts = lines([
    `bin: ${printable(target.bin)}, goVer: ${printable(target.goVersion)}, gomaxprocs: ${target.gomaxprocs}`,
    ...(target.executable === target.bin ? [] : [`executable: ${printable(target.executable)}`]),
    ...runtimes.flatMap((runtime) => runtimeLines(runtime, summary)),
    `Threads: ${threads.total} total, ${threads.running} running, ${threads.sleeping} sleeping, ` +
      `${threads.stopped} stopped, ${threads.zombie} zombie` +
      (threads.unknown === 0 ? '' : `, ${threads.unknown} unknown`),
    `Goroutines: ${counts.join(', ')}`,
    '',
    ...runtimes.flatMap((runtime) =>
      schedulerLines(runtime, summary).map((line) => `${line}${runtimeSuffix(nameOf(runtime.n))}`),
    ),
    ...(longestWaits.length === 0 ? [] : [`Longest waits: ${longestWaits.map((w) => longWait(w, nameOf)).join('; ')}`]),
    ...findings.map(
      ({ message, runtime }) => `Look here first: ${printable(message)}${runtimeSuffix(nameOf(runtime))}`,
    ),
  ]);
  return crashLine(target.crash) + facts;
}

/** The Ps of a runtime, below its own line where there are several. */
function runtimeLines({ n, file, goVersion, gomaxprocs, goroutines }: Runtime, { ps, runtimes }: Summary): string[] {
  const head =
    `runtime ${n}: ${printable(file)}, goVer: ${printable(goVersion)}, gomaxprocs: ${gomaxprocs}, ` +
    pluralize(goroutines, 'goroutine');
  const own = ps.filter(({ runtime }) => runtime === n);
  return [
    ...(runtimes.length > 1 ? [head] : []),
    ...own.map((p) => `P${p.id} ${p.status}, schedtick: ${p.schedtick}, syscalltick: ${p.syscalltick}`),
  ];
}

/** How many goroutines wait for a P, how many Ps and Ms wait for work, and what the garbage collector does. */
function schedulerLines({ n, sched }: Summary['runtimes'][number], { ps }: Summary): string[] {
  const own = ps.filter(({ runtime }) => runtime === n);
  const local = own.reduce((sum, p) => sum + p.runqsize, 0);
  const longest = own.reduce((most, p) => Math.max(most, p.runqsize), 0);
  const most = longest === 0 ? '' : ` (up to ${longest} on one P)`;
  return [
    `Run queues: ${sched.runqsize} global, ${local} local${most}; ` +
      `idle: ${sched.npidle} Ps, ${sched.nmidle} Ms; spinning: ${sched.nmspinning} Ms`,
    `GC: ${sched.gcPhase ?? 'not known'}${sched.gcwaiting ? ', waits for the world to stop' : ''}`,
  ];
}

function longWait({ goid, runtime, waitSinceNs, waitReason, entry }: LongWait, nameOf: RuntimeName): string {
  const reason = waitReason === null ? '' : ` for ${printable(waitReason)}`;
  const where = entry === null ? '?' : printable(entry.func);
  return `goroutine ${goid} ${duration(waitSinceNs)}+${reason} in ${where}${runtimeSuffix(nameOf(runtime))}`;
}

/** Placed where its innermost place outside the runtime or the standard library is shown. */
type MaybePlaced = Goroutine & Partial<PlacedGoroutine>;

/** Places that take a stack to find. */
type OnStack = 'user' | 'app';

/** `1 - waiting for chan receive: runtime.main (/usr/local/go/src/runtime/proc.go:110)` */
export function goroutineLine(g: PlacedGoroutine, place: OnStack, runtime?: string, placeOf?: PlaceOf): string;
export function goroutineLine(
  g: Goroutine,
  place: Exclude<Place, OnStack>,
  runtime?: string,
  placeOf?: PlaceOf,
): string;
export function goroutineLine(g: MaybePlaced, place: Place, runtime = '', placeOf = asBuilt): string {
  const status =
    g.waitReason === null
      ? g.status
      : `${g.status === 'leaked' ? 'leaked, ' : ''}waiting for ${printable(g.waitReason)}`;
  const loc = at(g, place);
  return `${g.goid} - ${status}: ${loc === null ? '?' : placeText(loc, placeOf)}${runtimeSuffix(runtime)}\n`;
}

/** The last line of a list that leaves out `more` items. */
export function moreLine(more: number): string {
  return `... ${withThousands(more)} more (--limit 0 prints all)\n`;
}

function at(g: MaybePlaced, place: Place): Loc | null {
  switch (place) {
    case 'start':
      return g.entry ?? g.start;
    case 'caller':
      return g.creator;
    case 'current':
      return g.current;
    // The runtime's own goroutines are nowhere outside the runtime.
    case 'user':
      return g.user ?? g.entry ?? g.start;
    case 'app':
      return g.app ?? g.user ?? g.entry ?? g.start;
  }
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('');
}
