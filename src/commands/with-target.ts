import type { Programs } from '../../analyze/program.js';
import { usageError } from '../../snapshots/errors.js';
import { ReaderGone, type Io } from '../io.js';
import { readDecoders } from '../decoders.js';
import { goidOf } from '../selection-options.js';
import { chooseRuntime } from '../targets/choose-runtime.js';
import { openTarget, takesDecoders } from '../targets/open-target.js';
import { damageError, type Opening, type OpenTarget, type TargetSpec } from '../targets/target.js';

/** The options that name a target, as {@link takesTarget} adds them to a command. */
export interface TargetOptions {
  readonly pid?: number;
  readonly bin?: string;
  readonly debugDir?: readonly string[];
  readonly runtime?: string;
  /** Only of commands that show what goroutines work on. */
  readonly decode?: string;
}

/** A target as a command line names it: a file, or a process with `pid`. */
export interface NamedTarget {
  readonly file?: string | undefined;
  readonly pid?: number | undefined;
  readonly bin?: string | undefined;
  readonly debugDir?: readonly string[] | undefined;
  /** Which of its Go runtimes; all if it is not given. */
  readonly runtime?: string | undefined;
  /** A file of decoders. */
  readonly decode?: string | undefined;
}

/**
 * Separates the target from the goroutine ids after it: with --pid, they are the only arguments. A file before them is
 * returned all the same, for {@link withPrograms} to refuse. Throws a usage error for what is not an id.
 */
export function targetAndGoids(
  args: readonly string[],
  { pid }: TargetOptions,
): { file: string | undefined; goids: number[] } {
  const [first = ''] = args;
  const idsAlone = pid !== undefined && (args.length <= 1 || goidOf(first) !== null);
  const goids = (idsAlone ? args : args.slice(1)).map((text) => {
    const goid = goidOf(text);
    if (goid !== null) return goid;
    const hint = idsAlone ? 'with --pid, goroutines are the only arguments' : 'ids are whole numbers above 0';
    throw usageError(`'${text}' is not a goroutine id`, { hint });
  });
  return { file: idsAlone ? undefined : args[0], goids };
}

/**
 * Opens the target that the command line names, runs `use` on the Go programs in it, and closes it. Throws GospyError as
 * {@link withTargets} does.
 */
export function withPrograms(
  io: Io,
  file: string | undefined,
  options: TargetOptions,
  use: (programs: Programs) => Promise<void>,
): Promise<void> {
  return withTargets(io, [{ ...options, file }], ([programs]) => use(programs));
}

/**
 * Opens targets, runs `use` on the Go programs in each that are asked for, and closes them. Throws a usage error where one is not named or
 * named twice, or has no such runtime, and GospyError as openTarget does. With `leaks`, each gets a proof of which goroutines are leaked. Throws exit code 5 after `use` where a file turned out to be damaged:
 * `use` has printed what could be read.
 */
export async function withTargets<const T extends readonly NamedTarget[]>(
  io: Io,
  named: T,
  use: (programs: { readonly [K in keyof T]: Programs }) => Promise<void>,
  { leaks }: Pick<Opening, 'leaks'> = {},
): Promise<void> {
  const asked = decodersWhereTaken(named);
  const specs = asked.map(specOf);
  const targets: OpenTarget[] = [];
  const damage = (cause?: unknown): Error | null =>
    damageError(
      targets.flatMap((target) => target.damage),
      cause,
    );
  try {
    for (const [i, spec] of specs.entries()) {
      const decoders = await readDecoders(asked[i]?.decode);
      targets.push(await openTarget(spec, { progress: io.progress, leaks, decoders }));
    }
    // One list of programs a target, which TypeScript does not see.
    const programs = targets.map((target, i) => chooseRuntime(target.programs, named[i]?.runtime));
    await use(programs as { readonly [K in keyof T]: Programs });
  } catch (error) {
    throw error instanceof ReaderGone ? error : (damage(error) ?? error);
  } finally {
    targets.forEach((target) => target.close());
  }
  const error = damage();
  if (error === null) return;
  await io.end();
  throw error;
}

/**
 * Of several targets with decoders, snapshots do without, as long as there is a process or a core that takes them: opening a
 * snapshot with decoders is an error. Throws as {@link withTargets}.
 */
export function decodersWhereTaken(named: readonly NamedTarget[]): readonly NamedTarget[] {
  if (named.length === 1 || named.every(({ decode }) => decode === undefined)) return named;
  const isTaken = named.map((target) => takesDecoders(specOf(target)));
  return isTaken.includes(true)
    ? named.map((target, i) => (isTaken[i] === true ? target : { ...target, decode: undefined }))
    : named;
}

/** Throws a usage error unless exactly one of a file and a process is named. */
function specOf({ file, pid, bin, debugDir }: NamedTarget): TargetSpec {
  if (file !== undefined && pid !== undefined) {
    throw usageError(`the target is either a file or a process, not both '${file}' and --pid ${pid}`);
  }
  if (file !== undefined) return { file, bin, debugDir };
  if (pid !== undefined) return { pid, bin };
  throw usageError('no target is given', { hint: 'name a .gsp snapshot or a core, or a live process with --pid N' });
}
