import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { esbuildPath, startServer } from '../demo/server.js';
import { explain } from '../failure.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import { examples } from '../options.js';
import { captureText } from '../render/capture.js';
import { captureOptions } from '../targets/live.js';
import { packageFile } from '../version.js';
import { printSummary } from './summary.js';
import { withPrograms } from './with-target.js';

/** A snapshot of a small program, for machines that permit no capture. */
const SAMPLE = packageFile('snapshots/samples/queue.gsp');

/** `gospy demo`: captures a real Go process and explains what it did. */
export function define(command: Command, io: Io): void {
  command
    .summary('the whole story on a real Go process')
    .description(
      'Starts a real Go program (esbuild, serving a folder on loopback), captures it, prints the pause and what ' +
        'its goroutines were doing, shows that it still answers, and ends it. Where processes cannot be captured, a sample ' +
        'snapshot is shown instead.',
    )
    .action(() => demo(io));
  examples(command, ['gospy demo', 'gospy demo 2>/dev/null | head -20']);
}

async function demo(io: Io): Promise<void> {
  const stops: (() => void)[] = [];
  const stopAll = (): void => stops.splice(0).forEach((stop) => stop());
  const forget = onInterrupt(stopAll);
  try {
    await showLive(io, (stop) => stops.push(stop));
  } catch (error) {
    if (!(error instanceof GospyError) || !NOT_POSSIBLE_HERE.has(error.exitCode)) throw error;
    await showSample(io, explain(error));
  } finally {
    stopAll();
    forget();
  }
}

/** Failures of a capture that are due to the machine. */
const NOT_POSSIBLE_HERE: ReadonlySet<ExitCode> = new Set([ExitCode.permission, ExitCode.unsupported]);

async function showLive(io: Io, onStop: (stop: () => void) => void): Promise<void> {
  const options = captureOptions('stop', null, { progress: io.progress });
  const folder = mkdtempSync(join(tmpdir(), 'gospy-demo-'));
  onStop(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startServer(esbuildPath(), onStop);
  await io.write(`A Go program runs: esbuild serves ${server.url} (pid ${server.pid}).\n\n`);

  const path = join(folder, 'demo.gsp');
  await io.write(`$ gospy capture --pid ${server.pid} -o demo.gsp\n`);
  await io.end();
  const { captureToFile } = await import('../../capture/capture.js');
  const report = await captureToFile(server.pid, path, options);
  await io.write(captureText({ ...report, path: 'demo.gsp' }));

  await io.write('\n$ gospy summary demo.gsp\n');
  await printSummaryOf(io, path);

  const alive = await server.answers();
  if (!alive) throw new Error('the demo program does not answer any more');
  await io.write(`\nThe program was let go and still answers on ${server.url}. It is ended now.\n`);
}

async function showSample(io: Io, reason: string): Promise<void> {
  io.note(`gospy demo: a live process cannot be captured here: ${reason}`);
  await io.write('A snapshot of a small program that was made elsewhere:\n\n$ gospy summary queue.gsp\n');
  await printSummaryOf(io, SAMPLE);
}

async function printSummaryOf(io: Io, path: string): Promise<void> {
  await withPrograms(io, path, {}, (programs) => printSummary(io, programs, { pc: 'start', limit: 200 }));
}
