import type { Goroutine, Loc, LocatedGoroutine, LongWait, Summary } from '../../analyze/report/model.js';
import { LIVE_STATUSES, type LiveStatus } from '../../analyze/runtime/goroutine.js';
import { crashLine } from './crash.js';
import { duration, placeText, printable, withThousands } from './text.js';

/** The place of a goroutine that its line shows. */
export const PLACES = ['start', 'caller', 'current', 'user'] as const;
export type Place = (typeof PLACES)[number];

/** The statuses that are always counted, in this order. The others follow if there are any such goroutines. */
const ALWAYS: readonly LiveStatus[] = ['idle', 'running', 'syscall', 'waiting'];

/** The lines above the list of goroutines: the program, its Ps, threads and goroutines, and what stands out. */
export function overview(summary: Summary): string {
  const { target, ps, threads, goroutines, sched, longestWaits, findings } = summary;
  const others = LIVE_STATUSES.filter((status) => !ALWAYS.includes(status) && goroutines[status] > 0);
  const counts = [
    `${goroutines.total} total`,
    ...[...ALWAYS, ...others].map((status) => `${goroutines[status]} ${status}`),
  ];
  const facts = lines([
    `bin: ${printable(target.bin)}, goVer: ${printable(target.goVersion)}, gomaxprocs: ${target.gomaxprocs}`,
    ...ps.map((p) => `P${p.id} ${p.status}, schedtick: ${p.schedtick}, syscalltick: ${p.syscalltick}`),
    `Threads: ${threads.total} total, ${threads.running} running, ${threads.sleeping} sleeping, ` +
      `${threads.stopped} stopped, ${threads.zombie} zombie`,
    `Goroutines: ${counts.join(', ')}`,
    '',
    queues(summary),
    `GC: ${sched.gcPhase ?? 'not known'}${sched.gcwaiting ? ', waits for the world to stop' : ''}`,
    ...(longestWaits.length === 0 ? [] : [`Longest waits: ${longestWaits.map(longWait).join('; ')}`]),
    ...findings.map(({ message }) => `Look here first: ${printable(message)}`),
  ]);
  return crashLine(target.crash) + facts;
}

/** How many goroutines wait for a P, and how many Ps and Ms wait for work. */
function queues({ ps, sched }: Summary): string {
  const local = ps.reduce((sum, p) => sum + p.runqsize, 0);
  const longest = ps.reduce((most, p) => Math.max(most, p.runqsize), 0);
  const most = longest === 0 ? '' : ` (up to ${longest} on one P)`;
  return (
    `Run queues: ${sched.runqsize} global, ${local} local${most}; ` +
    `idle: ${sched.npidle} Ps, ${sched.nmidle} Ms; spinning: ${sched.nmspinning} Ms`
  );
}

function longWait({ goid, waitSinceNs, waitReason, entry }: LongWait): string {
  const reason = waitReason === null ? '' : ` for ${printable(waitReason)}`;
  return `goroutine ${goid} ${duration(waitSinceNs)}+${reason} in ${entry === null ? '?' : printable(entry.func)}`;
}

/** Located where its innermost place outside the runtime is shown. */
type MaybeLocated = Goroutine & Partial<LocatedGoroutine>;

/** `1 - waiting for chan receive: runtime.main (/usr/local/go/src/runtime/proc.go:110)` */
export function goroutineLine(g: LocatedGoroutine, place: 'user'): string;
export function goroutineLine(g: Goroutine, place: Exclude<Place, 'user'>): string;
export function goroutineLine(g: MaybeLocated, place: Place): string {
  const status = g.status === 'waiting' && g.waitReason !== null ? `waiting for ${printable(g.waitReason)}` : g.status;
  const loc = at(g, place);
  return `${g.goid} - ${status}: ${loc === null ? '?' : placeText(loc)}\n`;
}

/** The last line of a list that leaves out `more` items. */
export function moreLine(more: number): string {
  return `... ${withThousands(more)} more (--limit 0 prints all)\n`;
}

function at(g: MaybeLocated, place: Place): Loc | null {
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
  }
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('');
}
