import { openPrograms, programsOver, type Programs } from '../../analyze/program.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { kindOfTarget, type CoreFile } from './file-kind.js';
import { captureOptions, openBinary, programsIn } from './live.js';
import {
  damageError,
  noDecoders,
  type FileTarget,
  type Opening,
  type ProcessTarget,
  type OpenTarget,
  type TargetSpec,
} from './target.js';

/**
 * Opens a file, or captures a live process into memory and lets it go. Prints nothing. Throws GospyError where the
 * target cannot be read, has no Go program in it, or none that `bin` is of.
 */
export async function openTarget(spec: TargetSpec, opening: Opening = {}): Promise<OpenTarget> {
  opening.signal?.throwIfAborted();
  if ('pid' in spec) return openProcess(spec, opening);
  const kind = kindOfTarget(spec.file);
  if (kind.kind !== 'snapshot') return openCoreTarget(spec, kind, opening);
  if ((opening.decoders ?? []).length === 0) return openSnapshotFile(spec);
  throw noDecoders(`${spec.file} is a snapshot: it`);
}

/** Whether decoders can be given to {@link openTarget}: a process or a core. Throws `badFile` as it does. */
export function takesDecoders(spec: TargetSpec): boolean {
  return 'pid' in spec || kindOfTarget(spec.file).kind !== 'snapshot';
}

async function openProcess({ pid, bin }: ProcessTarget, opening: Opening): Promise<OpenTarget> {
  const binary = await openBinary(bin);
  const close = (): void => binary?.close();
  try {
    const options = captureOptions(opening.leaks === undefined ? 'stop' : 'clone', binary, opening);
    const { lowerPriority } = await import('../../capture/ptrace/priority.js');
    // Until gospy ends: what is made of the target is made on the machine where the process runs.
    lowerPriority();
    const { captureToImage } = await import('../../capture/capture.js');
    const programs = programsIn(await captureToImage(pid, options));
    return targetOf(binary?.lendTo(programs) ?? programs, NO_FILE, close);
  } catch (error) {
    close();
    throw error;
  }
}

const NO_FILE: Pick<OpenTarget, 'damage'> = { damage: [] };

async function openSnapshotFile({ file, bin }: FileTarget): Promise<OpenTarget> {
  const binary = await openBinary(bin);
  const close = (): void => binary?.close();
  try {
    const image = openSnapshot(file);
    return await openIn(image, () => {
      const programs = openPrograms(image, binary?.debugInfo);
      return Promise.resolve({ programs: binary?.lendTo(programs) ?? programs, close });
    });
  } catch (error) {
    close();
    throw error;
  }
}

async function openCoreTarget(spec: FileTarget, kind: CoreFile, opening: Opening): Promise<OpenTarget> {
  const [{ openCoreFile }, { openCorePrograms }, { withProof }] = await Promise.all([
    import('./open-core.js'),
    import('./core-files.js'),
    import('./proof.js'),
  ]);
  const core = await openCoreFile(spec.file, kind, opening);
  return openIn(core, async () => {
    const opened = openCorePrograms(core, spec);
    try {
      const programs = withDecoders(await withProof(opened, opening), opening);
      return { programs, close: opened.close };
    } catch (error) {
      opened.close();
      throw error;
    }
  });
}

function withDecoders(programs: Programs, { decoders = [] }: Opening): Programs {
  return decoders.length === 0 ? programs : programsOver({ decoders }, programs);
}

/** A file that notices damage as it is read. */
interface DamageableFile {
  readonly damage: readonly string[];
  close(): void;
}

/** Opens the programs in a file with `open`. If that fails and the file is damaged, the damage is the error. */
async function openIn(
  file: DamageableFile,
  open: () => Promise<{ readonly programs: Programs; readonly close: () => void }>,
): Promise<OpenTarget> {
  try {
    const { programs, close } = await open();
    return targetOf(programs, file, () => {
      close();
      file.close();
    });
  } catch (error) {
    file.close();
    throw damageError(file.damage, error) ?? error;
  }
}

function targetOf(programs: Programs, file: Pick<OpenTarget, 'damage'>, close: () => void): OpenTarget {
  return {
    programs,
    warnings: [...programs[0].image.capture.warnings, ...programs.flatMap(({ warnings }) => warnings)],
    get damage() {
      return file.damage;
    },
    close,
  };
}
