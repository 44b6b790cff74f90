import { Option, type Command } from 'commander';
import { usageError } from '../../snapshots/errors.js';
import type { Programs } from '../../analyze/program.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, takesTarget } from '../options.js';
import { pluralize, printable, size } from '../render/text.js';
import { withPrograms, type TargetOptions } from './with-target.js';

/** The formats that a target can be written in. */
const FORMATS = ['core'] as const;
type Format = (typeof FORMATS)[number];

interface ExportOptions extends TargetOptions {
  readonly format: Format;
  readonly output?: string;
}

/** `gospy export`: writes a target in the format of another tool. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .summary('writes a target in a format that another tool reads')
    .description(
      'core: an ELF core that `dlv core`, gdb and viewcore open together with the executable, with the same goroutines ' +
        'and stacks. FILE is replaced in one step or not at all.',
    )
    .addOption(new Option('--format <FORMAT>', 'the format').choices(FORMATS).makeOptionMandatory())
    .option('-o, --output <FILE>', 'the file to write')
    .action((file: string | undefined, options: ExportOptions) =>
      withPrograms(io, file, options, (programs) => WRITERS[options.format](io, programs, options.output)),
    );
  examples(command, [
    'gospy export snap.gsp --format core -o snap.core',
    'gospy export --pid 4711 --format core -o x.core',
  ]);
}

/** Writes the format and says what was written. */
const WRITERS: Readonly<Record<Format, (io: Io, programs: Programs, path: string | undefined) => Promise<void>>> = {
  core: writeCore,
};

async function writeCore(io: Io, programs: Programs, path: string | undefined): Promise<void> {
  if (path === undefined) throw usageError('a core is written to a file: name it with -o');
  const [{ exportCore }, { removeUnfinished }, { warningsOf }] = await Promise.all([
    import('../export/core.js'),
    import('../../snapshots/atomic-file.js'),
    import('../../analyze/report/all-runtimes.js'),
  ]);
  const forget = onInterrupt(removeUnfinished);
  const { bytesWritten, threads, executable } = await exportCore(programs[0], path).finally(forget);
  await io.write(
    `${printable(path)}: ${size(bytesWritten)}, ${pluralize(threads, 'thread')}\n` +
      `Open it with the executable: dlv core ${printable(executable)} ${printable(path)}\n`,
  );
  io.warnings(warningsOf(programs), namesOf(programs));
}
