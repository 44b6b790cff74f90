import type { GoProgram } from '../analyze/program.js';
import { badFile, usageError } from '../snapshots/errors.js';
import type { ProcessImage } from '../snapshots/image.js';
import type { Binary } from './binary.js';
import { ReaderGone, type Io } from './io.js';
import { captureOptions } from './live.js';

/** What {@link takesTarget} adds to a command. */
export interface TargetOptions {
  readonly pid?: number;
  readonly bin?: string;
}

/** An image, and what it takes to let go of it. */
interface OpenImage {
  readonly image: ProcessImage;
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
  { pid, bin }: TargetOptions,
  use: (program: GoProgram) => Promise<void>,
): Promise<void> {
  const open = targetOf(io, file, pid);
  const binary = await openBinary(bin);
  try {
    await useTarget(io, await open(binary), binary, use);
  } finally {
    binary?.close();
  }
}

/** Opens what `--bin` names. Throws a GospyError where it cannot be read or is no executable. */
export async function openBinary(path: string | undefined): Promise<Binary | null> {
  if (path === undefined) return null;
  const { Binary } = await import('./binary.js');
  return new Binary(path);
}

async function useTarget(
  io: Io,
  target: OpenImage,
  binary: Binary | null,
  use: (program: GoProgram) => Promise<void>,
): Promise<void> {
  try {
    const { openProgram } = await import('../analyze/program.js');
    const program = openProgram(target.image, (names) => binary?.structs(names) ?? new Map());
    await use(binary?.under(program) ?? program);
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

function damageOf({ damage }: OpenImage, cause?: unknown): Error | null {
  const [first] = damage;
  if (first === undefined) return null;
  const more = damage.length === 1 ? '' : ` (and ${damage.length - 1} more)`;
  return badFile(`the answer is not complete: ${first}${more}`, {
    hint: 'gospy info lists all that is wrong with the file',
    cause,
  });
}

type OpenTarget = (binary: Binary | null) => Promise<OpenImage>;

function targetOf(io: Io, file: string | undefined, pid: number | undefined): OpenTarget {
  if (file !== undefined && pid !== undefined) {
    throw usageError(`the target is either a file or a process, not both ${file} and --pid ${pid}`);
  }
  if (file !== undefined) return () => openFile(file);
  if (pid !== undefined) return (binary) => openLive(io, pid, binary);
  throw usageError('no target is given', { hint: 'name a .gsp snapshot, or a live process with --pid N' });
}

/** A live process is captured into memory, and let go before the first answer. */
async function openLive(io: Io, pid: number, binary: Binary | null): Promise<OpenImage> {
  const how = captureOptions(io, 'stop', binary);
  const { captureToImage } = await import('../capture/capture.js');
  const { image } = await captureToImage(pid, how);
  return { image, damage: [], close: () => undefined };
}

/**
 * Checks that a file is a snapshot, as far as its start tells. Throws a GospyError of exit code 5 that says what it is
 * in place of one.
 */
export async function expectSnapshot(path: string): Promise<void> {
  const { describe, detectFile } = await import('../snapshots/detect.js');
  const file = detectFile(path);
  if (file.kind === 'snapshot') return;
  const what = `cannot read ${path}: it is ${describe(file)}`;
  if (file.kind === 'compressed') throw badFile(what);
  if (file.kind === 'core') throw badFile(`${what}, and this release of gospy reads snapshots only`);
  throw badFile(`${what} and no snapshot`, { hint: '`gospy capture` makes one of a running Go process' });
}

async function openFile(path: string): Promise<OpenImage> {
  await expectSnapshot(path);
  const { openSnapshot } = await import('../snapshots/gsp/read.js');
  const image = openSnapshot(path);
  return {
    image,
    get damage() {
      return image.damage;
    },
    close: () => image.close(),
  };
}
