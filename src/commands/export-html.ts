import { basename } from 'node:path';
import type { Programs } from '../../analyze/program.js';
import type { Selection } from '../../analyze/report/selection.js';
import type { PageInputs } from '../export/html.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import type { Output } from '../output.js';
import { pluralize } from '../render/text.js';
import { version } from '../version.js';
import { selectionOf, type SelectionOptions } from '../selection-options.js';
import { writeTo } from './write-to.js';
import { withTargets, type NamedTarget, type TargetOptions } from './with-target.js';

/** Writes a page of one target, or of two to compare, to a file or to standard output. */
export async function writePage(
  io: Io,
  file: string | undefined,
  later: string | undefined,
  options: TargetOptions & SelectionOptions & { readonly output?: string },
): Promise<void> {
  const { pid, bin, debugDir, runtime, decode, output } = options;
  const selection = selectionOf(options);
  const first: NamedTarget = { file, bin, debugDir, runtime, decode };
  // With two targets the process is the later one: it cannot be the earlier.
  if (later === undefined && (file === undefined || pid === undefined)) {
    await withTargets(io, [{ ...first, pid }], ([programs]) =>
      write(io, [named({ file, pid }, programs)], selection, output),
    );
    return;
  }
  const second: NamedTarget = { file: later, pid, bin, debugDir, runtime, decode };
  await withTargets(io, [first, second], ([before, after]) =>
    write(io, [named({ file }, before), named({ file: later, pid }, after)], selection, output),
  );
}

function named({ file, pid }: NamedTarget, programs: Programs): PageInputs[0] {
  return { name: file === undefined ? `process ${pid ?? ''}` : basename(file), programs };
}

async function write(io: Io, inputs: PageInputs, selection: Selection, path: string | undefined): Promise<void> {
  const [{ pageText }, { warningsOf }] = await Promise.all([
    import('../export/html.js'),
    import('../../analyze/report/all-runtimes.js'),
  ]);
  const fill = async (output: Output): Promise<void> => {
    for await (const piece of pageText(inputs, selection, version())) await output.write(piece);
  };
  const all = inputs.flatMap((input) => input?.programs ?? []);
  const count = all.reduce((sum, { goroutineCount }) => sum + goroutineCount, 0);
  await writeTo(io, path, fill, `, ${pluralize(count, 'goroutine')}`);
  const { programs } = inputs[1] ?? inputs[0];
  io.warnings(warningsOf(programs), namesOf(programs));
}
