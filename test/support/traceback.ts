/**
 * Parses the text in which Go programs print their goroutines: at a fatal signal (`GOTRACEBACK=system` or `crash`), and
 * from net/http/pprof with `debug=2`. Mirrors what runtime/traceback.go prints in Go 1.12 to 1.27. The analysis is compared
 * with it, so it shares no code with the analysis.
 */

export interface TracedFrame {
  /** As printed, except that `panic` is given as runtime.gopanic. */
  readonly func: string;
  readonly file: string;
  readonly line: number;
  /** Printed at levels `system` and `crash` for frames that are not inlined; else null. */
  readonly fp: string | null;
  readonly sp: string | null;
  readonly pc: string | null;
  readonly inlined: boolean;
  /** What is printed between the parentheses. */
  readonly args: string;
}

export interface TracedCreator {
  readonly func: string;
  readonly file: string;
  readonly line: number;
  /** Printed since Go 1.21. */
  readonly parentGoid: number | null;
}

/** Frames that were left out after the first `after` ones; `count` is null if it was not printed. */
export interface Elision {
  readonly after: number;
  readonly count: number | null;
}

/** `[originating from goroutine N]`, with GODEBUG=tracebackancestors. */
export interface TracedAncestor {
  readonly goid: number;
  readonly frames: readonly TracedFrame[];
  readonly creator: TracedCreator | null;
  readonly elided: Elision | null;
}

export interface TracedGoroutine {
  /** 0 for the system stack of a thread. */
  readonly goid: number;
  /** Address of the g. Printed since Go 1.23 at level `system`. */
  readonly gp: string | null;
  /** Id of its M; null if it has none or none was printed. */
  readonly m: number | null;
  readonly mp: string | null;
  /** The wait reason, or the status if it has none, without the flags below. */
  readonly status: string;
  readonly leaked: boolean;
  readonly scan: boolean;
  /** True if `(durable)` follows the status, as a flag or as the end of the wait reason. */
  readonly durable: boolean;
  /** Whole minutes that it has waited; null below one. */
  readonly minutes: number | null;
  readonly lockedToThread: boolean;
  /** The bubble's id (1.25+), or the goid of the group's root (1.24). */
  readonly synctest: number | null;
  /** null if none were printed. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** False for a goroutine that ran on another thread: its stack was not printed. */
  readonly stackAvailable: boolean;
  readonly frames: readonly TracedFrame[];
  readonly elided: Elision | null;
  readonly creator: TracedCreator | null;
  readonly ancestors: readonly TracedAncestor[];
}

/**
 * Returns the goroutines in the order of the text. At level `crash` a goroutine may appear more than once, because each
 * thread prints its own. Lines that do not belong to a traceback, such as other output of the program, are skipped.
 */
export function parseTraceback(text: string): TracedGoroutine[] {
  const out: TracedGoroutine[] = [];
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  let at = 0;
  while (at < lines.length) {
    const header = parseHeader(lines[at] ?? '');
    at++;
    if (header === null) continue;
    const section = new Section();
    while (at < lines.length && !endsSection(lines[at] ?? '')) at += section.take(lines[at] ?? '', lines[at + 1] ?? '');
    out.push({ ...header, ...section.finish() });
  }
  return out;
}

/** True for a blank line, the rule between threads at level `crash`, the registers, and the next goroutine's header. */
function endsSection(line: string): boolean {
  return line === '' || /^-{5,}$/.test(line) || /^(rax|r0|eax) +0x/.test(line) || parseHeader(line) !== null;
}

type Header = Omit<TracedGoroutine, 'stackAvailable' | keyof Stack | 'ancestors'>;

const HEADER = /^goroutine (\d+)(?: gp=(0x[0-9a-f]+) m=(nil|\d+)(?: mp=(0x[0-9a-f]+))?)? \[(.*):$/;
const MARK = / \((leaked|scan|durable)\)$/;

function parseHeader(line: string): Header | null {
  const match = HEADER.exec(line);
  if (match === null) return null;
  const [, goid, gp, m, mp, rest = ''] = match;
  const labels = labelsOf(rest);
  if (!labels.before.endsWith(']')) return null;
  const [first = '', ...attributes] = labels.before.slice(0, -1).split(', ');
  const marks = new Set<string>();
  let status = first;
  for (let mark = MARK.exec(status); mark !== null; mark = MARK.exec(status)) {
    marks.add(mark[1] ?? '');
    status = status.slice(0, mark.index);
  }
  return {
    goid: Number(goid),
    gp: gp ?? null,
    m: m === undefined || m === 'nil' ? null : Number(m),
    mp: mp ?? null,
    status,
    leaked: marks.has('leaked'),
    scan: marks.has('scan'),
    durable: marks.has('durable'),
    minutes: numberIn(attributes, /^(\d+) minutes$/),
    lockedToThread: attributes.includes('locked to thread'),
    synctest: numberIn(attributes, /^synctest (?:bubble|group) (\d+)$/),
    labels: labels.labels,
  };
}

function numberIn(attributes: readonly string[], pattern: RegExp): number | null {
  for (const attribute of attributes) {
    const [, digits] = pattern.exec(attribute) ?? [];
    if (digits !== undefined) return Number(digits);
  }
  return null;
}

/** Go 1.26 prints ` labels:{"k": "v"}` inside the brackets, Go 1.27 ` {k: v}` after them, quoted if needed. */
function labelsOf(rest: string): { before: string; labels: Record<string, string> | null } {
  const inside = rest.indexOf(' labels:{');
  if (inside >= 0 && rest.endsWith('}]')) {
    const body = rest.slice(inside + ' labels:{'.length, -2);
    return { before: `${rest.slice(0, inside)}]`, labels: pairs(body) };
  }
  const behind = rest.indexOf('] {');
  if (behind >= 0 && rest.endsWith('}')) {
    return { before: rest.slice(0, behind + 1), labels: pairs(rest.slice(behind + 3, -1)) };
  }
  return { before: rest, labels: null };
}

const PAIR = /(?<key>"(?:[^"\\]|\\.)*"|[A-Za-z0-9./_]*): (?<value>"(?:[^"\\]|\\.)*"|[A-Za-z0-9./_]*)(?:, |$)/gy;

function pairs(body: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const { groups } of body.matchAll(PAIR))
    out[unquoted(groups?.['key'] ?? '')] = unquoted(groups?.['value'] ?? '');
  return out;
}

/** Undoes printquoted (runtime/print.go), which escapes all but printable ASCII. `\x` above 7f is a byte of invalid UTF-8. */
function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  const escape = /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/g;
  return text.slice(1, -1).replace(escape, (_, byte?: string, short?: string, long?: string, one?: string) => {
    if (byte !== undefined) return parseInt(byte, 16) > 0x7f ? '\ufffd' : String.fromCharCode(parseInt(byte, 16));
    const code = short ?? long;
    if (code !== undefined) return String.fromCodePoint(parseInt(code, 16));
    return { n: '\n', r: '\r', t: '\t' }[one ?? ''] ?? one ?? '';
  });
}

/** The lines of one stack. */
interface Stack {
  readonly frames: TracedFrame[];
  readonly creator: TracedCreator | null;
  readonly elided: Elision | null;
}

const LOCATION = /^\t(.*):(\d+)(?: \+0x[0-9a-f]+)?(?: fp=(0x[0-9a-f]+) sp=(0x[0-9a-f]+) pc=(0x[0-9a-f]+))?$/;

/** Parses the lines between a goroutine's header and the blank line after it. */
class Section {
  readonly #stacks: { goid: number; frames: TracedFrame[]; creator: TracedCreator | null; elided: Elision | null }[] = [
    { goid: 0, frames: [], creator: null, elided: null },
  ];
  #stackAvailable = true;

  /** Takes a line, and the next one if it belongs to it. Returns how many lines were taken. */
  take(line: string, next: string): number {
    const stack = this.#stacks.at(-1);
    const elided = /^\.\.\.(?:(\d+)|additional) frames elided\.\.\.$/.exec(line);
    const ancestor = /^\[originating from goroutine (\d+)\]:$/.exec(line);
    const location = LOCATION.exec(next);
    if (stack === undefined) return 1;
    if (line === '\tgoroutine running on other thread; stack unavailable') this.#stackAvailable = false;
    else if (elided !== null) {
      stack.elided = { after: stack.frames.length, count: elided[1] === undefined ? null : Number(elided[1]) };
    } else if (ancestor !== null) {
      this.#stacks.push({ goid: Number(ancestor[1]), frames: [], creator: null, elided: null });
    } else if (location !== null && !line.startsWith('\t')) {
      const [, file = '', digits = '', fp = null, sp = null, pc = null] = location;
      const line_ = Number(digits);
      const created = /^created by (.*?)(?: in goroutine (\d+))?$/.exec(line);
      const call = callOf(line);
      if (created !== null) {
        const parentGoid = created[2] === undefined ? null : Number(created[2]);
        stack.creator = { func: created[1] ?? '', file, line: line_, parentGoid };
      } else if (call !== null) stack.frames.push({ ...call, file, line: line_, fp, sp, pc });
      else return 1;
      return 2;
    }
    return 1;
  }

  finish(): Stack & Pick<TracedGoroutine, 'stackAvailable' | 'ancestors'> {
    const [own, ...ancestors] = this.#stacks;
    const { frames = [], creator = null, elided = null } = own ?? {};
    return { frames, creator, elided, ancestors, stackAvailable: this.#stackAvailable };
  }
}

/**
 * Parses `name(args)`. Names may contain parentheses (methods, type literals); argument lists never do: they consist of hex
 * words, `_`, `?`, `...` and braces.
 */
function callOf(line: string): Pick<TracedFrame, 'func' | 'inlined' | 'args'> | null {
  const open = line.lastIndexOf('(');
  if (open <= 0 || !line.endsWith(')')) return null;
  const args = line.slice(open + 1, -1);
  if (!/^[0-9a-fx_?.,{} ]*$/.test(args)) return null;
  const name = line.slice(0, open);
  return { func: name === 'panic' ? 'runtime.gopanic' : name, inlined: args === '...', args };
}
