import type { GoProgram, Programs } from '../program.js';
import type { GoroutineOrder } from '../runtime/go-runtime.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { Describer, selectGoroutines } from './goroutines.js';
import { LocationResolver } from './locations.js';
import type { Goroutine, Loc } from './model.js';
import type { Selection } from './selection.js';
import { StackIds, type KnownStack } from '../stack-ids.js';

/** One function of a frame: the call itself, or one that was inlined into it. */
export interface SharedLine {
  readonly func: string;
  readonly file: string;
  readonly line: number;
  readonly inlined: boolean;
}

/** A frame as the CPU has it, with the calls inlined into it: the innermost first. */
export interface SharedFrame {
  readonly pc: number;
  readonly lines: readonly SharedLine[];
}

/** What the stacks of many goroutines have in common: all but their addresses on the stack. */
export interface SharedStack {
  /** Innermost first. */
  readonly frames: readonly SharedFrame[];
  /** Why the stack ends early, or null. */
  readonly truncated: string | null;
  /** The innermost place outside the runtime, or null. */
  readonly user: Loc | null;
  /** The innermost place outside the standard library, or null. */
  readonly app: Loc | null;
}

/** A goroutine with its stack. Most programs have few stacks: equal ones are the same object, as long as that is possible. */
export interface StackedGoroutine {
  readonly program: GoProgram;
  readonly g: G;
  readonly goroutine: Goroutine;
  readonly stack: SharedStack;
}

/** The selected goroutines of all programs by id, one at a time. */
export function* withSharedStacks(programs: Programs, selection: Selection): Iterable<StackedGoroutine> {
  for (const program of programs) yield* ofProgram(program, selection, 'goid');
}

/** The same in the order in which their stacks are read fastest. Warnings come by id all the same. */
export function* inStackOrder(programs: Programs, selection: Selection): Iterable<StackedGoroutine> {
  for (const program of programs) yield* program.listingWarningsByGoid(ofProgram(program, selection, 'stack'));
}

/** Calls `visit` with each of them in that order. */
export function visitSharedStacks(
  programs: Iterable<GoProgram>,
  selection: Selection,
  visit: (one: StackedGoroutine) => void,
): void {
  for (const program of programs) {
    program.listWarningsByGoid(() => {
      for (const one of ofProgram(program, selection, 'stack')) visit(one);
    });
  }
}

function* ofProgram(program: GoProgram, selection: Selection, order: GoroutineOrder): Iterable<StackedGoroutine> {
  const ids = new StackIds();
  const locations = new LocationResolver(program);
  const shared = new WeakMap<KnownStack, SharedStack>();
  for (const { g, goroutine } of selectGoroutines(program, new Describer(program), selection, order)) {
    const { known } = ids.find(program, g);
    let stack = shared.get(known);
    if (stack === undefined) {
      const { frames, truncated } = known;
      const [user, app] = [locations.user(frames), locations.app(frames)];
      stack = { frames: framesOf(program, frames), truncated, user, app };
      shared.set(known, stack);
    }
    yield { program, g, goroutine, stack };
  }
}

function framesOf({ index: { symbolizer } }: GoProgram, frames: readonly PhysicalFrame[]): SharedFrame[] {
  return frames.map(({ point, pc, trap }) => ({
    pc,
    lines: point
      .lines(trap)
      .map(({ name, file, line, inlined }) => ({ func: symbolizer.printedName(name), file, line, inlined })),
  }));
}

/** Every line of a stack, innermost first. */
export function* linesOf({ frames }: SharedStack): Iterable<SharedLine> {
  for (const { lines } of frames) yield* lines;
}
