import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { WaitsOn } from '../waits/model.js';
import { waitText } from './wait-texts.js';
import { WorkingOn } from './working-on.js';

/** Frames between a goroutine that waits for a descriptor and the method of package net that it has called. */
const DEPTH = 16;

/** Names the two ends of the connection that a goroutine waits for. */
export class WaitPeers {
  readonly #program: GoProgram;
  readonly #work: WorkingOn;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#work = new WorkingOn(program);
  }

  /** `waits to read descriptor (fd 7), tcp 10.0.0.4:5555 -> 10.0.0.9:5432`; as {@link waitText} has it where no end is known. */
  textOf(g: G | null, on: WaitsOn): string {
    const text = waitText(on);
    if (g === null || on.kind !== 'fd') return text;
    const frames = (): readonly PhysicalFrame[] => this.#program.stackOf(g, DEPTH).frames;
    const socket = this.#work.told(g, frames, () => [on]).find(({ kind }) => kind === 'socket');
    const head = `fd ${on.fd ?? -1} `;
    if (socket?.text.startsWith(head) !== true) return text;
    return `${text}, ${socket.sure ? '' : 'probably '}${socket.text.slice(head.length)}`;
  }
}
