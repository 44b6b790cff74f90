import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { LIVE_STATUSES, type LiveStatus } from '../runtime/goroutine.js';
import type { Warning } from '../warnings.js';
import { answer, type Answer } from './answer.js';
import { crashOf } from './crash.js';
import { FindingsCollector } from './findings.js';
import { Describer, GOROUTINE_READS } from './goroutines.js';
import { STACK_READS } from './locations.js';
import type { Goroutine, Runtime, Summary, Target } from './model.js';
import { readScheduler } from './scheduler.js';
import { isLockReason, waitFindings } from './wait-findings.js';

export const summaryAnalysis: Analysis = {
  name: 'summary',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: summarize,
};

/** Torn goroutines that get a warning each; one more warning counts the others. */
const MAX_TORN = 1000;

/** Says what was read: the program, and when and how it was captured. */
export function targetOf(program: GoProgram): Target {
  const { image } = program;
  return {
    kind: image.kind,
    pid: image.pid,
    bin: program.runtime.file,
    executable: image.executable.path,
    goVersion: program.version.text,
    arch: image.arch,
    gomaxprocs: program.gomaxprocs,
    capturedAt: image.capture.capturedAt,
    mode: image.capture.mode,
    pauseNs: image.capture.pauseNs,
    crash: crashOf(program),
  };
}

/** Says which of the process's runtimes a program is. `goroutines` is how many have not ended. */
export function runtimeOf(program: GoProgram, goroutines = program.goroutineCount): Runtime {
  const { version, gomaxprocs } = program;
  const { n, file, buildId } = program.runtime;
  return { n, file, goVersion: version.text, buildId, gomaxprocs, goroutines };
}

/** The overview of a program. */
export function summarize(program: GoProgram): Answer<Summary> {
  const collector = new SummaryCollector(program);
  const describer = new Describer(program);
  let waitsForLock = false;
  for (const g of program.goroutines()) {
    const goroutine = describer.describe(g);
    collector.add(goroutine);
    waitsForLock ||= isLockReason(goroutine.waitReason);
  }
  const ofWaits = waitsForLock ? waitFindings(program) : [];
  const { value, warnings } = collector.summary();
  return { value: { ...value, findings: [...ofWaits, ...value.findings] }, warnings };
}

/** Makes a summary in a pass over the goroutines that the caller runs, such as one that serves several reports. */
export class SummaryCollector {
  readonly #program: GoProgram;
  readonly #counts = Object.fromEntries(LIVE_STATUSES.map((status) => [status, 0])) as Record<LiveStatus, number>;
  readonly #findings = new FindingsCollector();
  readonly #torn: number[] = [];
  #total = 0;
  #system = 0;

  constructor(program: GoProgram) {
    this.#program = program;
  }

  add(goroutine: Goroutine): void {
    this.#total++;
    if (goroutine.system) this.#system++;
    if (goroutine.torn) this.#torn.push(goroutine.goid);
    if (goroutine.status !== 'dead') this.#counts[goroutine.status]++;
    this.#findings.add(goroutine);
  }

  /** The summary of a program whose goroutines were all added. */
  summary(): Answer<Summary> {
    const program = this.#program;
    const { ps, sched } = readScheduler(program);
    const { value, warnings } = answer(program, {
      target: targetOf(program),
      runtimes: [{ ...runtimeOf(program, this.#total), sched }],
      ps,
      threads: countThreads(program),
      goroutines: { total: this.#total, ...this.#counts, system: this.#system },
      sched,
      longestWaits: this.#findings.longestWaits,
      findings: this.#findings.findings(program, { ps, sched }),
    });
    return { value, warnings: [...warnings, ...tornWarnings(program.runtime.n, this.#torn)] };
  }
}

function tornWarnings(runtime: number, goids: readonly number[]): Warning[] {
  const code = 'goroutine-torn';
  const message = 'it moved while it was read';
  const listed = goids.slice(0, MAX_TORN).map((goid) => ({ code, goid, runtime, message }));
  const more = goids.length - listed.length;
  const others = { code, runtime, message: `${more} more goroutines moved while they were read` };
  return more === 0 ? listed : [...listed, others];
}

/** Threads by the kernel's letters (proc(5)): R runs; S, D and I sleep; T and t are stopped; Z and X have ended. */
function countThreads({ image: { threads } }: GoProgram): Summary['threads'] {
  const count = (letters: string): number => threads.filter(({ state }) => letters.includes(state)).length;
  const known = { running: count('R'), sleeping: count('SDI'), stopped: count('Tt'), zombie: count('ZX') };
  const unknown = threads.length - known.running - known.sleeping - known.stopped - known.zombie;
  return { total: threads.length, ...known, unknown };
}
