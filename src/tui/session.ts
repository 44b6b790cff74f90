import { setImmediate } from 'node:timers/promises';
import { viewOfAll } from '../../analyze/report/all-runtimes.js';
import type { Programs } from '../../analyze/program.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { MemoryFault } from '../../snapshots/memory.js';
import { explain } from '../failure.js';
import { screen } from './screen.js';
import type { ProcessSource, Sample } from './source.js';
import { queryOf, type State } from './state.js';
import { FullScreen } from './terminal.js';
import { update, type Effect, type Event } from './update.js';

/** Samples in a row that may fail, as they can while the process makes room for more goroutines. */
const MAX_FAILURES = 5;

/** How a session ended. */
export type Ending = { readonly kind: 'quit' } | { readonly kind: 'target-ended'; readonly error: GospyError };

/** What is watched: a process, or the programs in a file. */
export type Subject =
  | { readonly source: ProcessSource; readonly first: Sample; readonly saveAs: () => string }
  | { readonly programs: Programs };

/** Runs the full screen: waits for keys and for the time of the next sample, updates the state, and draws it. */
export class Session {
  readonly #subject: Subject;
  readonly #terminal: FullScreen;
  #state: State;
  #programs: Programs;
  #ending: Ending | null = null;
  #error: { readonly cause: unknown } | null = null;
  #saving = false;
  #nextSampleAt = 0;
  #failures = 0;
  #wake: () => void = () => undefined;

  constructor(subject: Subject, state: Omit<State, 'columns' | 'rows'>) {
    this.#subject = subject;
    this.#programs = 'programs' in subject ? subject.programs : subject.first.programs;
    this.#terminal = new FullScreen({
      onKey: (key) => this.#guard(() => this.#dispatch({ kind: 'key', key })),
      onResize: (columns, rows) => this.#guard(() => this.#dispatch({ kind: 'resize', columns, rows })),
    });
    this.#state = { ...state, ...this.#terminal.size };
  }

  /** What is, or was last, on the screen. */
  get state(): State {
    return this.#state;
  }

  /** Restores the terminal at once, for signals that end gospy. */
  leave(): void {
    this.#terminal.leave();
  }

  /** Runs until the user quits or the process ends. Restores the terminal, even if it throws. */
  async run(): Promise<Ending> {
    // Node would print an uncaught error on the full screen, which vanishes with it.
    const onUncaught = (cause: unknown): void => this.#fail(cause);
    process.on('uncaughtException', onUncaught);
    this.#terminal.enter();
    try {
      this.#showSample('source' in this.#subject ? this.#subject.first : { programs: this.#programs, pauseNs: 0 });
      for (;;) {
        if (this.#error !== null) throw this.#error.cause;
        if (this.#ending !== null) return this.#ending;
        await this.#step();
      }
    } finally {
      this.leave();
      process.off('uncaughtException', onUncaught);
    }
  }

  /** Does what is due, or waits until something is. */
  async #step(): Promise<void> {
    const subject = this.#subject;
    if (this.#saving) await this.#save();
    else if ('source' in subject && this.#state.sampling?.paused === false && performance.now() >= this.#nextSampleAt) {
      await this.#sample(subject.source);
    } else await this.#wait();
    await setImmediate();
  }

  async #sample(source: ProcessSource): Promise<void> {
    const begun = performance.now();
    const before = process.cpuUsage();
    try {
      source.mode = this.#state.sampling?.mode ?? 'live';
      this.#showSample(await source.next());
      this.#failures = 0;
    } catch (error) {
      this.#handleFailure(error);
    }
    const { user, system } = process.cpuUsage(before);
    const { intervalMs } = this.#state.sampling ?? { intervalMs: 0 };
    // A late sample does not delay the next; and gospy stays idle for at least the CPU time that it used.
    const due = Math.max(this.#nextSampleAt, begun - intervalMs);
    this.#nextSampleAt = Math.max(due + intervalMs, performance.now() + (user + system) / 1000);
  }

  #showSample({ programs, pauseNs }: Sample): void {
    this.#programs = programs;
    const view = viewOfAll(programs, queryOf(this.#state));
    this.#dispatch({ kind: 'sample', view, atMs: performance.now(), pauseNs });
  }

  /** Queries the last sample again. */
  #query(): void {
    try {
      this.#dispatch({ kind: 'view', view: viewOfAll(this.#programs, queryOf(this.#state)) });
    } catch (error) {
      this.#handleFailure(error);
    }
  }

  /** Ends the session if the process has ended; other failures are shown, and only several in a row are thrown. */
  #handleFailure(error: unknown): void {
    if (error instanceof GospyError && error.exitCode === ExitCode.noGoProcess) {
      this.#ending = { kind: 'target-ended', error };
      return;
    }
    const known = error instanceof GospyError || error instanceof MemoryFault;
    if (!known || ++this.#failures > MAX_FAILURES) throw error;
    this.#dispatch({ kind: 'message', message: error instanceof GospyError ? explain(error) : error.message });
  }

  async #save(): Promise<void> {
    this.#saving = false;
    if (!('source' in this.#subject)) {
      this.#dispatch({ kind: 'message', message: 'this is a file already' });
      return;
    }
    const { source, saveAs } = this.#subject;
    const path = saveAs();
    try {
      this.#dispatch({ kind: 'message', message: `saving ${path} ...` });
      this.#showSample(await source.save(path));
      this.#dispatch({ kind: 'message', message: `saved ${path}, as shown` });
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      this.#dispatch({ kind: 'message', message: explain(error) });
    }
  }

  #dispatch(event: Event): void {
    const { state, effects } = update(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    this.#terminal.draw(screen(this.#state, this.#terminal.glyphs));
  }

  #perform(effect: Effect): void {
    switch (effect) {
      case 'quit':
        this.#ending = { kind: 'quit' };
        break;
      case 'interrupt':
        this.leave();
        process.kill(process.pid, 'SIGINT');
        break;
      case 'suspend':
        this.#terminal.suspend();
        break;
      case 'save':
        this.#saving = true;
        break;
      case 'query':
        this.#query();
        break;
      case 'reschedule':
        this.#nextSampleAt = 0;
        break;
    }
    this.#wake();
  }

  /** Waits until a key was pressed or the next sample is due. */
  async #wait(): Promise<void> {
    const due = this.#state.sampling?.paused === false ? this.#nextSampleAt - performance.now() : null;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, due === null ? 2 ** 30 : Math.max(0, due));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  /** Runs a listener; its errors end the session. */
  #guard(listener: () => void): void {
    try {
      listener();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  #fail(cause: unknown): void {
    this.#error = { cause };
    this.#wake();
  }
}
