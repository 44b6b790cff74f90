import { Argument, type Command } from 'commander';
import { badFile } from '../../snapshots/errors.js';
import type { Io } from '../io.js';
import { binOption, debugDirOption, examples, jsonOption } from '../options.js';
import { coreInfoText } from '../render/core-info.js';
import { infoText } from '../render/info.js';
import { runtimeNames } from '../render/runtimes.js';
import { inspectFile } from '../targets/inspect-file.js';
import type { CoreInfo } from '../targets/core-info.js';
import type { SnapshotInfo } from '../targets/snapshot-info.js';

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

async function info(io: Io, file: string, { bin, debugDir, json }: InfoOptions): Promise<void> {
  const found = await inspectFile({ file, bin, debugDir }, { progress: io.progress });
  if (json === true) {
    const document = found.kind === 'core' ? coreDocument(found) : snapshotDocument(found);
    await io.json({ schema: 'gospy.info/1', path: file, ...document });
  } else {
    await io.write(found.kind === 'core' ? coreInfoText(file, found) : infoText(file, found));
  }
  io.warnings(found.warnings, runtimeNames(found.runtimes));
  await failOnProblems(io, found.problems, hintOf(found));
}

/** What to do about damage: what the error says that keeps the program from being read, or else to copy the file again. */
function hintOf(found: CoreInfo | SnapshotInfo): string {
  if (found.kind === 'core' && found.hint !== null) return found.hint;
  const otherwise = found.kind === 'core' ? 'if that one is whole' : 'or capture again';
  return `copy the file again from where it was written, ${otherwise}`;
}

/** Ends the command with exit code 5 where there are problems. */
async function failOnProblems(io: Io, [first, ...more]: readonly string[], hint: string): Promise<void> {
  if (first === undefined) return;
  await io.end();
  throw badFile(more.length === 0 ? first : `${first} (and ${more.length} more)`, { hint });
}

function coreDocument({ hint: _hint, ...core }: CoreInfo): object {
  return core;
}

function snapshotDocument({ facts, target, runtimes, values, warnings, ...file }: SnapshotInfo): object {
  return {
    ...file,
    target,
    runtimes,
    values,
    host: facts?.host ?? null,
    executable: facts?.executable ?? null,
    partial: facts?.capture.partial ?? null,
    lateThreads: facts?.capture.lateThreads ?? null,
    longestLateNs: facts?.capture.longestLateNs ?? null,
    threads: facts?.threads.length ?? null,
    mappings: facts?.mappings.length ?? null,
    warnings,
  };
}
