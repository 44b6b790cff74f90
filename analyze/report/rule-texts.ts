import type { Arch } from '../../snapshots/arch.js';
import type { ProcessImage } from '../../snapshots/image.js';
import type { RuleCode } from '../stacks/step.js';

/** Each rule in a sentence: how the step found the caller, or why it found none. */
const SENTENCES: Readonly<Record<Exclude<RuleCode, 'return-address'>, string>> = {
  'link-register': 'It has no frame: the return address is still in the link register.',
  'cgo-callback': 'C called Go: cgocallback pushed the pc at which Go had called C.',
  'faked-call': 'A signal handler made the code look as if it had called this.',
  'nil-call': 'A nil function was called: the return address is on top of the stack.',
  'system-stack-switch': 'It switched to the system stack, and returns to the goroutine at g.sched.sp.',
  mcall: 'It left the goroutine for good: that goes on at g.sched.',
  morestack: 'It grows the stack of the goroutine, which then goes on at g.sched.',
  gogo: 'It was about to jump to g.sched.',
  mstart: 'The thread has just started, and is about to run the goroutine at g.sched.',
  'vdso-clock': 'It switched to the system stack to ask the vDSO for the time.',
  vdso: 'C code or the vDSO, called to tell the time: m.vdsoPC is the return address.',
  'outside-go': 'Not Go code: the goroutine called it at g.sched.',
  'race-call': 'C code of the race detector: racecall kept the SP of the goroutine in R12.',
  'signal-frame': 'A signal handler: the kernel saved the interrupted registers above its frame.',
  sigreturn: 'The end of a signal handler: the interrupted registers are on top of the stack.',
  'c-signal-frame': 'The end of a signal handler, in the C library: the registers lie at sp.',
  'undone-call': 'A signal handler had begun to fake a call, which is left out.',
  'top-frame': 'The outermost function.',
  'no-caller': 'Its return address is 0, and it is not an outermost function.',
  'no-frame-size': 'Its frame size is not known.',
  'not-outermost': 'An outermost function, but not where the stack begins: g.stktopsp.',
  'unknown-frame-size': 'Its frame size is not known.',
  'unknown-code': 'There is no Go function at this pc.',
  'unknown-c-caller': 'C code on the system stack: what called it was not saved.',
  'c-signal-handler': 'C code on the signal stack: what called it was not saved.',
  'half-faked-call': 'Its signal handler has begun to fake a call: sp and pc do not fit together.',
  'half-recovered': 'It changes where its goroutine goes on: sp and pc do not fit together.',
  'stack-switch': 'It switches stacks, and it cannot be known how far it came.',
};

/** The rule in a sentence of at most 80 characters. */
export function sentenceFor(rule: RuleCode, arch: Arch): string {
  if (rule !== 'return-address') return SENTENCES[rule];
  return `An ordinary call: the return address lies ${arch === 'amd64' ? 'right below fp' : 'at sp'}.`;
}

const DAMAGED = 'the stack or the record of the goroutine may be damaged; a debugger may show more';

/** What can be done where a stack ended with these rules. */
const ADVICE: Readonly<Partial<Record<RuleCode, string>>> = {
  'no-caller': DAMAGED,
  'not-outermost': DAMAGED,
  'unknown-code': 'gdb may know the code at this pc; if it is Go code, its function table is damaged or was not found',
  'unknown-c-caller': 'gdb can follow C code, in the process or in a core of it',
  'c-signal-handler': 'gdb can follow C code, in the process or in a core of it',
  'half-faked-call': 'the thread was stopped between two instructions that matter; capture again',
  'half-recovered': 'the thread was stopped between two instructions that matter; capture again',
  'stack-switch': 'the thread was stopped between two instructions that matter; capture again',
};

/**
 * What decides about the advice of the last step of a stack: its rule, and the words that it read; their value is null where
 * memory is absent, their address for what is not in memory.
 */
interface LastStep {
  readonly rule: RuleCode;
  readonly words: readonly { readonly addr: string | null; readonly value: string | null }[];
}

/** What can be done about a stack that ended early; null where nothing is known. `last` is its last step. */
export function adviceFor(
  image: ProcessImage,
  { last, torn }: { last: LastStep | null; torn: boolean },
): string | null {
  if (torn) return 'the goroutine moved while it was read; capture again, with --mode stop';
  if (last === null) {
    return image.capture.mode === 'live' ? 'a capture with --mode stop has the registers of all threads' : null;
  }
  const missing = last.words.find(({ value }) => value === null)?.addr ?? null;
  return missing === null ? (ADVICE[last.rule] ?? null) : adviceForMissing(image, Number(missing));
}

function adviceForMissing({ kind, mappings }: ProcessImage, addr: number): string {
  if (kind !== 'core') return 'the capture did not copy this memory; capture again, or look at a core of the process';
  const path = mappings.find(({ start, end }) => addr >= start && addr < end)?.path ?? '';
  if (path !== '' && !path.startsWith('[')) return `${path} has this memory: name it with --bin or --debug-dir`;
  return 'the core lacks this memory, which no file has; gospy info lists what else is missing';
}
