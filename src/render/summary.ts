import type { Goroutine, Loc, LongWait, Summary } from '../../analyze/report/model.js';
import { crashLine } from './crash.js';
import { duration, printable, withThousands } from './text.js';

/** Which place of a goroutine a line shows. */
export const PLACES = ['start', 'caller', 'current', 'user'] as const;
export type Place = (typeof PLACES)[number];

/** States that the line of counts always has, in its order; the others follow where they are not zero. */
const ALWAYS = ['idle', 'running', 'syscall', 'waiting'] as const;
const WHERE_ANY = ['runnable', 'preempted', 'copystack', 'leaked'] as const;

/** The lines above the list: the program, its Ps, its threads, its goroutines. */
export function overview(summary: Summary): string {
  const { target, ps, threads, goroutines, sched, longestWaits, findings } = summary;
  const counts = [
    `${goroutines.total} total`,
    ...ALWAYS.map((status) => `${goroutines[status]} ${status}`),
    ...WHERE_ANY.filter((status) => goroutines[status] > 0).map((status) => `${goroutines[status]} ${status}`),
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

/** Who waits for a processor, and which processors and threads wait for work. */
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

/** `1 - waiting for chan receive: runtime.main (/usr/local/go/src/runtime/proc.go:110)` */
export function goroutineLine(g: Goroutine, place: Place): string {
  const status = g.status === 'waiting' && g.waitReason !== null ? `waiting for ${printable(g.waitReason)}` : g.status;
  return `${g.goid} - ${status}: ${location(at(g, place))}\n`;
}

/** The last line of a list that stops early. */
export function moreLine(more: number): string {
  return `... ${withThousands(more)} more (--limit 0 prints all)\n`;
}

function at(g: Goroutine, place: Place): Loc | null {
  switch (place) {
    case 'start':
      return g.entry ?? g.start;
    case 'caller':
      return g.creator;
    case 'current':
      return g.current;
    // The runtime's own goroutines have no other place than theirs.
    case 'user':
      return g.user ?? g.entry ?? g.start;
  }
}

function location(loc: Loc | null): string {
  return loc === null ? '?' : `${printable(loc.func)} (${printable(loc.file)}:${loc.line})`;
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('');
}
