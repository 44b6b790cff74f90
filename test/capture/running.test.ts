import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { Frame, GoroutineWithStack } from '../../analyze/report/model.js';
import { captureToImage } from '../../capture/capture.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, SPIN_CELLS } from '../support/releases.js';

const CAPTURES = FULL_SIZE ? 50 : 15;
const FIXTURE = fileURLToPath(new URL('../../../test/fixtures/spin/', import.meta.url));
/**
 * What may be called between the functions of the program and the current instruction. A name without a package is
 * local to a file of assembly, of which the program has none.
 */
const RUNTIME = /^(runtime|_|runtime\/internal\/.*|internal\/(runtime\/.*|abi))\.|^\w+$/;
/** Packages that the runtime imports; their functions count where it calls them, as a signal handler does that names a function. */
const OF_RUNTIME = /^internal\/(bytealg|chacha8rand|stringslite)\./;
/** Functions that are entered without a call instruction: by a signal, or because a stack is too small. */
const ANYWHERE = /^runtime\.(asyncPreempt|sigtramp|sigpanic|morestack|newstack|racecall)/;
/** Between two instructions of recovery, it is not known how the goroutine goes on. */
const HALF_RECOVERED = /about to go on elsewhere, after a panic/;
/** What each goroutine may be in beside the runtime, within its two outer functions. */
const INNER: Readonly<Record<string, RegExp>> = {
  Arithmetic: /^main\.leafArithmetic$/,
  Map: /^(internal\/)?strconv\./,
  Clock: /^time\.(Now|now|runtimeNow)$/,
  Recursion: /^main\.leafRecursion$/,
  Panic: /^main\.leafPanic(\.func1|\.deferwrap1)?$/,
  Syscall: /^(syscall\.(Syscall|RawSyscall6)|internal\/runtime\/syscall.*\.Syscall6)$/,
  RawSyscall: /^(syscall\.RawSyscall6?|internal\/runtime\/syscall.*\.Syscall6)$/,
  C: /^main\._Cfunc_spinC$/,
  Callback: /^(main\.(_Cfunc_callGo|leafArithmetic|goSpunByC|_cgoexpwrap_.*)|_cgoexp_.*|main\._cgoexp_.*)$/,
};

/** Lines that hold a call which is always on the stack of the goroutine, by file name. */
function callLines(): Map<string, Set<number>> {
  const lines = readdirSync(FIXTURE).map((name): [string, Set<number>] => {
    const marked = readFileSync(FIXTURE + name, 'utf8')
      .split('\n')
      .flatMap((line, i) => (line.endsWith('// calls') ? [i + 1] : []));
    return [name, new Set(marked)];
  });
  return new Map(lines);
}

const CALLS = callLines();

/** `partial`: a thread did not stop in time, as the capture reports; nothing is known of the goroutine on it. */
function wrongness({ goid, status, frames, truncated, entry }: GoroutineWithStack, partial: boolean): string[] {
  const [, what] = /^main\.spin(\w+)$/.exec(entry?.func ?? '') ?? [];
  if (what === undefined) return [];
  const names = frames.map(({ func, line }) => `${func}:${line}`).join(' < ');
  const wrong = (why: string): string[] => [`goroutine ${goid} (${status}): ${why}: ${names}`];
  if (partial && frames.length === 0 && truncated !== null) return [];
  if (what === 'Panic' && truncated !== null && HALF_RECOVERED.test(truncated)) return [];
  if (truncated !== null) return wrong(truncated);
  const outer = frames.findIndex(({ func }) => func === `main.spin${what}`);
  if (frames.at(-1)?.func !== 'runtime.goexit' || outer !== frames.length - 2) return wrong('its outermost function');
  const inner = frames.slice(0, outer);
  const middle = inner.findIndex(({ func }) => func === `main.middle${what}`);
  const inside = inner.slice(0, Math.max(0, middle));
  const known = INNER[what];
  const isOfRuntime = ({ func }: Frame, i: number): boolean =>
    RUNTIME.test(func) || (OF_RUNTIME.test(func) && RUNTIME.test(inner[i + 1]?.func ?? ''));
  const strange = inside.find((frame, i) => !isOfRuntime(frame, i) && known?.test(frame.func) !== true);
  if (strange !== undefined) return wrong(`${strange.func} is not called there`);
  if (middle >= 0 && middle !== inner.length - 1) return wrong('what is between the two');
  if (middle < 0 && inner.some((frame, i) => !isOfRuntime(frame, i) && !/strconv|^main\.middle/.test(frame.func)))
    return wrong('what it calls');
  return frames.slice(0, outer + 1).flatMap((frame, i) => {
    const callee = frames[i - 1];
    if (middle < 0 || i < middle || callee === undefined || ANYWHERE.test(callee.func) || onCall(frame)) return [];
    return wrong(`${frame.func} calls nothing at ${frame.line}`);
  });
}

function onCall({ file, line }: Frame): boolean {
  return CALLS.get(file.slice(file.lastIndexOf('/') + 1))?.has(line) === true;
}

for (const cell of SPIN_CELLS) {
  t.test(`capture: running goroutines are where they can be, with the right callers (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell));
    const seen = new Map<string, number>();
    const wrong: string[] = [];
    for (let i = 0; i < CAPTURES; i++) {
      const { image } = await captureToImage(program.pid, { mode: 'stop', writer: 'test' });
      for (const goroutine of listGoroutines(openProgram(image), 'stack')) {
        wrong.push(...wrongness(goroutine, image.capture.partial));
        seen.set(goroutine.status, (seen.get(goroutine.status) ?? 0) + 1);
      }
    }
    t.same(wrong.slice(0, 20), []);
    t.ok((seen.get('running') ?? 0) >= CAPTURES / 2, `seen: ${JSON.stringify([...seen])}`);
    t.ok(program.alive(), 'the program lives');
  });
}
