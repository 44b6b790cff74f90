import { openProgram, type GoProgram } from '../../analyze/program.js';
import type { CaptureOptions } from '../../capture/capture.js';
import type { Captured } from '../../capture/copy/assemble-image.js';
import { Sampler } from '../../capture/copy/sampler.js';
import type { Mode } from './state.js';

/** A program at one moment. */
export interface Taken {
  readonly program: GoProgram;
  /** For how long the process stood still for it. */
  readonly pauseNs: number;
}

/** A running process that is looked at again and again. */
export class ProcessSource {
  readonly pid: number;
  mode: Mode;
  readonly #options: Omit<CaptureOptions, 'mode'>;
  #sampler: Sampler | null = null;
  /** What a look in stop mode took: as a file has it. */
  #captured: Captured | null = null;

  constructor(pid: number, mode: Mode, options: Omit<CaptureOptions, 'mode'>) {
    this.pid = pid;
    this.mode = mode;
    this.#options = options;
  }

  /** Looks at the process. Throws GospyError, `noGoProcess` where it has ended. */
  async next(): Promise<Taken> {
    if (this.mode === 'stop') return this.#capture();
    this.#captured = null;
    this.#sampler ??= new Sampler(this.pid, this.#options.inspect);
    return { program: this.#sampler.look(), pauseNs: 0 };
  }

  /**
   * Writes a snapshot of what was looked at last, where that was taken whole, or else of the process as it is now.
   * Answers what the snapshot holds. Throws GospyError; nothing is left behind then.
   */
  async save(path: string): Promise<Taken> {
    const { writeSnapshot } = await import('../../snapshots/gsp/write.js');
    const taken =
      this.#captured === null ? await this.#capture() : { program: openProgram(this.#captured.image), pauseNs: 0 };
    const captured: Captured | null = this.#captured;
    if (captured === null) throw new Error('a capture leaves nothing to write');
    await writeSnapshot(path, { image: captured.image, memory: captured.groups });
    return taken;
  }

  close(): void {
    this.#sampler?.close();
  }

  async #capture(): Promise<Taken> {
    const { captureToImage } = await import('../../capture/capture.js');
    this.#captured = null;
    const captured = await captureToImage(this.pid, { ...this.#options, mode: this.mode });
    this.#captured = captured;
    // As a reader of the file would have it.
    return { program: openProgram(captured.image), pauseNs: captured.image.capture.pauseNs ?? 0 };
  }
}
