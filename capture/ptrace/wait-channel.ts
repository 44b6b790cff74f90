import { closeSync, openSync, readSync } from 'node:fs';

/** More files are not opened: gospy may have no more than 256 of them. */
const MAX_CHANNELS = 64;
/** What /proc/PID/task/TID/wchan holds of a thread that is on a CPU, or waits for one. */
const QUEUED = '0'.charCodeAt(0);

const firstByte = new Uint8Array(1);

/**
 * Says of a thread whether it waits in the kernel, or is on a CPU or waiting for one. A thread that has trapped may still be
 * the latter, if it lost its CPU on the last steps: every ptrace request then sleeps in the kernel until it has one again
 * (wait_task_inactive), which takes long on a busy machine.
 */
export class WaitChannel {
  readonly #file: number;

  /** Throws a system error if the thread has ended. */
  constructor(pid: number, tid: number) {
    this.#file = openSync(`/proc/${pid}/task/${tid}/wchan`, 'r');
  }

  /** True also where the kernel does not say. */
  isQueued(): boolean {
    try {
      return readSync(this.#file, firstByte, 0, 1, 0) === 1 && firstByte[0] === QUEUED;
    } catch {
      return false; // It has ended.
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * Files of the threads of a process. None if they say nothing, since a process has a thread that sleeps; and none if gospy may
 * not open that many.
 */
export function openChannels(pid: number, tids: readonly number[]): Map<number, WaitChannel> {
  const channels = new Map<number, WaitChannel>();
  let isFull = false;
  for (const tid of tids.slice(0, MAX_CHANNELS)) {
    try {
      channels.set(tid, new WaitChannel(pid, tid));
    } catch (error) {
      // Otherwise, it has ended.
      isFull = (error as NodeJS.ErrnoException).code === 'EMFILE';
      if (isFull) break;
    }
  }
  if (!isFull && [...channels.values()].some((channel) => !channel.isQueued())) return channels;
  for (const channel of channels.values()) channel.close();
  return new Map();
}
