import { Argument, type Command } from 'commander';
import type { Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { badFile, GospyError } from '../../snapshots/errors.js';
import type { SnapshotCheck } from '../../snapshots/gsp/verify.js';
import type { Io } from '../io.js';
import { binOption, debugDirOption, examples, jsonOption } from '../options.js';
import { infoText } from '../render/info.js';
import { kindOfTarget, type CoreFile } from '../targets/open-target.js';

interface InfoOptions {
  readonly bin?: string;
  readonly debugDir?: readonly string[];
  readonly json?: true;
}

/** `gospy info`: what is in a file, and whether it is whole. */
export function define(command: Command, io: Io): void {
  command
    .summary('what is in a snapshot or a core, how it was made, and whether it is whole')
    .description(
      'Reads a snapshot from end to end, verifies every checksum, and prints what is in it and how it was made. Of a ' +
        'core it says what is missing, and which mappings and goroutines that concerns. A damaged file is exit code 5.',
    )
    .addArgument(new Argument('<FILE>', 'a .gsp snapshot or an ELF core'))
    .addOption(binOption())
    .addOption(debugDirOption())
    .addOption(jsonOption())
    .action((file: string, options: InfoOptions) => info(io, file, options));
  examples(command, ['gospy info snap.gsp', 'gospy info core.4711 --bin ./server --json']);
}

async function info(io: Io, path: string, options: InfoOptions): Promise<void> {
  const file = await kindOfTarget(path);
  return file.kind === 'snapshot' ? snapshotInfo(io, path, options.json === true) : coreInfo(io, path, file, options);
}

async function coreInfo(io: Io, path: string, file: CoreFile, options: InfoOptions): Promise<void> {
  const [{ openCoreFile }, { checkCore }, { coreInfoText }] = await Promise.all([
    import('../targets/open-core.js'),
    import('../targets/core-info.js'),
    import('../render/core-info.js'),
  ]);
  const check = checkCore(await openCoreFile(io, path, file), options);
  if (options.json === true) await io.json({ schema: 'gospy.info/1', path, ...check });
  else await io.write(coreInfoText(path, check));
  io.warnings(check.warnings);
  await failOn(io, check.problems, 'copy the file again from where it was written, if that one is whole');
}

async function snapshotInfo(io: Io, path: string, json: boolean): Promise<void> {
  const { verifySnapshot } = await import('../../snapshots/gsp/verify.js');
  const check = verifySnapshot(path);
  const { target, warnings } = await programOf(path, check);
  if (json) await io.json(infoDocument(path, check, target, warnings));
  else await io.write(infoText(path, check, target));
  io.warnings(warnings);
  await failOn(io, check.problems, 'copy the file again from where it was written, or capture again');
}

/** Ends the command with exit code 5 where there are problems. */
async function failOn(io: Io, [first, ...more]: readonly string[], hint: string): Promise<void> {
  if (first === undefined) return;
  await io.end();
  throw badFile(more.length === 0 ? first : `${first} (and ${more.length} more)`, { hint });
}

/** The Go program in the file, as far as it can be read. */
async function programOf(
  path: string,
  { facts }: SnapshotCheck,
): Promise<{ target: Target | null; warnings: readonly Warning[] }> {
  if (facts === null) return { target: null, warnings: [] };
  const [{ openSnapshot }, { openProgram }, { targetOf }] = await Promise.all([
    import('../../snapshots/gsp/read.js'),
    import('../../analyze/program.js'),
    import('../../analyze/report/summary.js'),
  ]);
  try {
    const snapshot = openSnapshot(path);
    try {
      const program = openProgram(snapshot);
      return { target: targetOf(program), warnings: [...facts.capture.warnings, ...program.warnings] };
    } finally {
      snapshot.close();
    }
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return { target: null, warnings: [{ code: 'program-unreadable', message: error.message }] };
  }
}

function infoDocument(path: string, check: SnapshotCheck, target: Target | null, warnings: readonly Warning[]): object {
  const { facts, ...file } = check;
  return {
    schema: 'gospy.info/1',
    path,
    ...file,
    target,
    host: facts?.host ?? null,
    executable: facts?.executable ?? null,
    partial: facts?.capture.partial ?? null,
    threads: facts?.threads.length ?? null,
    mappings: facts?.mappings.length ?? null,
    warnings,
  };
}
