import type { GoProgram } from '../../analyze/program.js';
import { badFile, usageError } from '../../snapshots/errors.js';
import type { Binary } from './binary.js';
import { ReaderGone, type Io } from '../io.js';
import { captureOptions } from './live.js';

/** What {@link takesTarget} adds to a command. */
export interface TargetOptions {
  readonly pid?: number;
  readonly bin?: string;
  readonly debugDir?: readonly string[];
}

/** A target, and what it takes to let go of it. */
interface OpenTarget {
  readonly program: GoProgram;
  /** Memory that was asked for and could not be had although the file should have it, one sentence each. */
  readonly damage: readonly string[];
  close(): void;
}

/**
 * Opens the target that the command line names, hands the Go program in it to `use`, and closes it again. Throws a
 * GospyError where the target is not exactly one, cannot be read, is no Go program or not the one of `--bin`; and also
 * behind `use` where parts of the file turned out to be damaged: what was printed by then is what could be read.
 */
export async function withProgram(
  io: Io,
  file: string | undefined,
  options: TargetOptions,
  use: (program: GoProgram) => Promise<void>,
): Promise<void> {
  const target = await openTarget(io, file, options);
  try {
    await use(target.program);
  } catch (error) {
    throw error instanceof ReaderGone ? error : (damageOf(target, error) ?? error);
  } finally {
    target.close();
  }
  const damage = damageOf(target);
  if (damage === null) return;
  await io.end();
  throw damage;
}

/** Opens what `--bin` names. Throws a GospyError where it cannot be read or is no executable. */
export async function openBinary(path: string | undefined): Promise<Binary | null> {
  if (path === undefined) return null;
  const { Binary } = await import('./binary.js');
  return new Binary(path);
}

function damageOf({ damage }: Pick<OpenTarget, 'damage'>, cause?: unknown): Error | null {
  const [first] = damage;
  if (first === undefined) return null;
  const more = damage.length === 1 ? '' : ` (and ${damage.length - 1} more)`;
  return badFile(`the answer is not complete: ${first}${more}`, {
    hint: 'gospy info lists all that is wrong with the file',
    cause,
  });
}

function openTarget(io: Io, file: string | undefined, options: TargetOptions): Promise<OpenTarget> {
  const { pid, bin } = options;
  if (file !== undefined && pid !== undefined) {
    throw usageError(`the target is either a file or a process, not both ${file} and --pid ${pid}`);
  }
  if (file !== undefined) return openFile(io, file, options);
  if (pid !== undefined) return openLive(io, pid, bin);
  throw usageError('no target is given', { hint: 'name a .gsp snapshot or a core, or a live process with --pid N' });
}

/** A live process is captured into memory, and let go before the first answer. */
async function openLive(io: Io, pid: number, bin: string | undefined): Promise<OpenTarget> {
  const binary = await openBinary(bin);
  try {
    const how = captureOptions(io, 'stop', binary);
    const [{ captureToImage }, { openProgram }] = await Promise.all([
      import('../../capture/capture.js'),
      import('../../analyze/program.js'),
    ]);
    const { image } = await captureToImage(pid, how);
    const program = openProgram(image, binary?.debugInfo);
    return { program: binary?.under(program) ?? program, damage: [], close: () => binary?.close() };
  } catch (error) {
    binary?.close();
    throw error;
  }
}

/** A core, plain or in a compression that gospy undoes. */
export interface CoreFile {
  readonly kind: 'core';
  readonly packing: 'gzip' | 'zstd' | null;
}

/** A file that gospy reads, told by its start. */
export type ReadableFile = CoreFile | { readonly kind: 'snapshot' };

/**
 * Tells what a file is, as far as its start says; what is in a compressed one shows when it is opened. Throws a
 * GospyError of exit code 5 that says what it is where it is neither a snapshot nor a core.
 */
export async function kindOfTarget(path: string): Promise<ReadableFile> {
  const { describe, detectFile } = await import('../../snapshots/detect.js');
  const file = detectFile(path);
  if (file.kind === 'snapshot') return file;
  if (file.kind === 'core') return { kind: 'core', packing: null };
  const what = `cannot read ${path}: it is ${describe(file)}`;
  if (file.kind === 'compressed') {
    if (file.format === 'gzip' || file.format === 'zstd') return { kind: 'core', packing: file.format };
    throw badFile(what);
  }
  throw badFile(`${what}, neither a snapshot nor a core`, {
    hint: '`gospy capture` makes a snapshot of a running Go process',
  });
}

async function openFile(io: Io, path: string, options: TargetOptions): Promise<OpenTarget> {
  const file = await kindOfTarget(path);
  return file.kind === 'snapshot' ? openSnapshotTarget(path, options.bin) : openCoreTarget(io, path, file, options);
}

async function openSnapshotTarget(path: string, bin: string | undefined): Promise<OpenTarget> {
  const [{ openSnapshot }, { openProgram }] = await Promise.all([
    import('../../snapshots/gsp/read.js'),
    import('../../analyze/program.js'),
  ]);
  const binary = await openBinary(bin);
  const close = (): void => binary?.close();
  try {
    const image = openSnapshot(path);
    return openedFrom(image, () => {
      const program = openProgram(image, binary?.debugInfo);
      return { program: binary?.under(program) ?? program, close };
    });
  } catch (error) {
    close();
    throw error;
  }
}

async function openCoreTarget(io: Io, path: string, file: CoreFile, options: TargetOptions): Promise<OpenTarget> {
  const [{ openCoreFile }, { openCoreProgram }] = await Promise.all([
    import('./open-core.js'),
    import('./core-files.js'),
  ]);
  const core = await openCoreFile(io, path, file);
  return openedFrom(core, () => openCoreProgram(core, options));
}

interface Damageable {
  readonly damage: readonly string[];
  close(): void;
}

/** The program that `open` finds in a file; where it finds none and the file is damaged, that is the reason. */
function openedFrom(file: Damageable, open: () => { program: GoProgram; close: () => void }): OpenTarget {
  try {
    const { program, close } = open();
    return {
      program,
      get damage() {
        return file.damage;
      },
      close() {
        close();
        file.close();
      },
    };
  } catch (error) {
    file.close();
    throw damageOf(file, error) ?? error;
  }
}
