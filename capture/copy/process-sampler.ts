import type { GoProgram, Programs } from '../../analyze/program.js';
import type { DecoderSpec } from '../../snapshots/work.js';
import { assertRoom } from '../memory-estimate.js';
import { LiveProcess } from '../process/live-process.js';
import { openLive } from './look-again.js';
import { Sampler } from './sampler.js';

/** Looks at all Go programs of a running process again and again without stopping it. */
export class ProcessSampler {
  readonly #target: LiveProcess;
  readonly #samplers: readonly [Sampler, ...Sampler[]];

  /**
   * `decoders` are the user's own, for what goroutines work on. Throws GospyError if there is no such process, it may not be read, or it
   * is not a Go program.
   */
  constructor(pid: number, inspect?: (programs: Programs) => void, decoders: readonly DecoderSpec[] = []) {
    this.#target = new LiveProcess(pid, 'read');
    try {
      const programs = openLive(this.#target);
      assertRoom(programs);
      inspect?.(programs);
      const [first, ...more] = programs;
      const samplerOf = (program: GoProgram): Sampler => new Sampler(this.#target, program.over({ decoders }));
      this.#samplers = [samplerOf(first), ...more.map(samplerOf)];
    } catch (error) {
      this.#target.close();
      throw error;
    }
  }

  /** As {@link Sampler.look}, at each program. */
  look(): Programs {
    const [first, ...more] = this.#samplers;
    return [first.look(), ...more.map((sampler) => sampler.look())];
  }

  close(): void {
    this.#target.close();
  }
}
