import type { Programs } from '../../analyze/program.js';
import type { CaptureOptions } from '../../capture/capture.js';
import type { Captured } from '../../capture/copy/assemble-image.js';
import { ProcessSampler } from '../../capture/copy/process-sampler.js';
import { lowerPriority, reviewPriority } from '../../capture/ptrace/priority.js';
import { chooseRuntime } from '../targets/choose-runtime.js';
import { programsIn } from '../targets/live.js';
import type { Mode } from './state.js';

/** The programs of a process at one moment. */
export interface Sample {
  readonly programs: Programs;
  /** For how long the process stood still for it. */
  readonly pauseNs: number;
}

/** A running process that is sampled again and again. gospy's priority is low from then on. */
export class ProcessSource {
  readonly pid: number;
  mode: Mode;
  readonly #options: Omit<CaptureOptions, 'mode'>;
  readonly #runtime: string | undefined;
  #sampler: ProcessSampler | null = null;
  /** The last sample, if stop mode took it: all that a snapshot holds. */
  #captured: Captured | null = null;

  /** `runtime` names the only one of its Go runtimes to show, as `--runtime` does. */
  constructor(pid: number, mode: Mode, options: Omit<CaptureOptions, 'mode'>, runtime?: string) {
    this.#runtime = runtime;
    this.pid = pid;
    this.mode = mode;
    this.#options = options;
    lowerPriority();
  }

  /** Samples the process. Throws GospyError, `noGoProcess` where it has ended. */
  async next(): Promise<Sample> {
    reviewPriority();
    if (this.mode === 'stop') return this.#chosen(sampleIn(await this.#capture()));
    this.#captured = null;
    this.#sampler ??= new ProcessSampler(this.pid, this.#options.inspect, this.#options.decoders);
    return this.#chosen({ programs: this.#sampler.look(), pauseNs: 0 });
  }

  /**
   * Writes a snapshot of the last sample if stop mode took it, else of the process as it is now. Returns what the
   * snapshot holds. Throws GospyError; nothing is left behind then.
   */
  async save(path: string): Promise<Sample> {
    const { writeSnapshot } = await import('../../snapshots/gsp/write.js');
    const isShown = this.#captured !== null;
    const captured = this.#captured ?? (await this.#capture());
    await writeSnapshot(path, { image: captured.image, memory: captured.groups });
    const sample = this.#chosen(sampleIn(captured));
    return isShown ? { ...sample, pauseNs: 0 } : sample;
  }

  close(): void {
    this.#sampler?.close();
  }

  #chosen({ programs, pauseNs }: Sample): Sample {
    return { programs: chooseRuntime(programs, this.#runtime), pauseNs };
  }

  async #capture(): Promise<Captured> {
    const { captureToImage } = await import('../../capture/capture.js');
    this.#captured = null;
    this.#captured = await captureToImage(this.pid, { ...this.#options, mode: this.mode });
    return this.#captured;
  }
}

function sampleIn(captured: Captured): Sample {
  return { programs: programsIn(captured), pauseNs: captured.image.capture.pauseNs ?? 0 };
}
