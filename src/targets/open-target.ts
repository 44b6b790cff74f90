import type { GoProgram } from '../../analyze/program.js';
import { kindOfTarget, type CoreFile } from './file-kind.js';
import { captureOptions, openBinary, programIn } from './live.js';
import {
  damageError,
  type FileTarget,
  type Opening,
  type ProcessTarget,
  type OpenTarget,
  type TargetSpec,
} from './target.js';

/**
 * Opens a file, or captures a live process into memory and lets it go. Prints nothing. Throws GospyError where the
 * target cannot be read, has no Go program in it, or not the one of `bin`.
 */
export async function openTarget(spec: TargetSpec, opening: Opening = {}): Promise<OpenTarget> {
  opening.signal?.throwIfAborted();
  if ('pid' in spec) return openProcess(spec, opening);
  const kind = await kindOfTarget(spec.file);
  return kind.kind === 'snapshot' ? openSnapshotFile(spec) : openCoreTarget(spec, kind, opening);
}

async function openProcess({ pid, bin }: ProcessTarget, opening: Opening): Promise<OpenTarget> {
  const binary = await openBinary(bin);
  const close = (): void => binary?.close();
  try {
    const options = captureOptions('stop', binary, opening);
    const { captureToImage } = await import('../../capture/capture.js');
    const program = await programIn(await captureToImage(pid, options));
    return targetOf(binary?.lendTo(program) ?? program, NO_FILE, close);
  } catch (error) {
    close();
    throw error;
  }
}

const NO_FILE: Pick<OpenTarget, 'damage'> = { damage: [] };

async function openSnapshotFile({ file, bin }: FileTarget): Promise<OpenTarget> {
  const [{ openSnapshot }, { openProgram }] = await Promise.all([
    import('../../snapshots/gsp/read.js'),
    import('../../analyze/program.js'),
  ]);
  const binary = await openBinary(bin);
  const close = (): void => binary?.close();
  try {
    const image = openSnapshot(file);
    return openIn(image, () => {
      const program = openProgram(image, binary?.debugInfo);
      return { program: binary?.lendTo(program) ?? program, close };
    });
  } catch (error) {
    close();
    throw error;
  }
}

async function openCoreTarget(spec: FileTarget, kind: CoreFile, opening: Opening): Promise<OpenTarget> {
  const [{ openCoreFile }, { openCoreProgram }] = await Promise.all([
    import('./open-core.js'),
    import('./core-files.js'),
  ]);
  const core = await openCoreFile(spec.file, kind, opening);
  return openIn(core, () => openCoreProgram(core, spec));
}

/** A file that notices damage as it is read. */
interface DamageableFile {
  readonly damage: readonly string[];
  close(): void;
}

/** Opens the program in a file with `open`. If that fails and the file is damaged, the damage is the error. */
function openIn(
  file: DamageableFile,
  open: () => { readonly program: GoProgram; readonly close: () => void },
): OpenTarget {
  try {
    const { program, close } = open();
    return targetOf(program, file, () => {
      close();
      file.close();
    });
  } catch (error) {
    file.close();
    throw damageError(file.damage, error) ?? error;
  }
}

function targetOf(program: GoProgram, file: Pick<OpenTarget, 'damage'>, close: () => void): OpenTarget {
  return {
    programs: [program],
    warnings: [...program.image.capture.warnings, ...program.warnings],
    get damage() {
      return file.damage;
    },
    close,
  };
}
