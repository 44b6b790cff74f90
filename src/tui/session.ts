import { setImmediate } from 'node:timers/promises';
import { buildView } from '../../analyze/report/live-view.js';
import type { GoProgram } from '../../analyze/program.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { MemoryFault } from '../../snapshots/memory.js';
import { explain } from '../failure.js';
import { screen } from './screen.js';
import type { ProcessSource, Taken } from './source.js';
import { questionOf, update, type Effect, type Event, type State } from './state.js';
import { FullScreen } from './terminal.js';

/** Looks in a row that may fail, as they can while the process makes room for more goroutines. */
const MAX_FAILURES = 5;

/** How a session ended. */
export type Ending = { readonly kind: 'quit' } | { readonly kind: 'target-ended'; readonly error: GospyError };

/** What is looked at: a process, or the program in a file. */
export type Subject =
  | { readonly source: ProcessSource; readonly first: Taken; readonly saveAs: () => string }
  | { readonly program: GoProgram };

/** The full screen from its first frame to its last: it waits for keys and for the time of the next look. */
export class Session {
  readonly #subject: Subject;
  readonly #terminal: FullScreen;
  #state: State;
  #program: GoProgram;
  #ending: Ending | null = null;
  #error: { readonly cause: unknown } | null = null;
  #saving = false;
  #nextLookAt = 0;
  #failures = 0;
  #wake: () => void = () => undefined;

  constructor(subject: Subject, state: Omit<State, 'columns' | 'rows'>) {
    this.#subject = subject;
    this.#program = 'program' in subject ? subject.program : subject.first.program;
    this.#terminal = new FullScreen({
      key: (key) => this.#safely(() => this.#happen({ kind: 'key', key })),
      resized: (columns, rows) => this.#safely(() => this.#happen({ kind: 'resized', columns, rows })),
    });
    this.#state = { ...state, ...this.#terminal.size };
  }

  /** The last state; what was on the screen. */
  get state(): State {
    return this.#state;
  }

  /** Gives the terminal back; for signals that end gospy. */
  leave(): void {
    this.#terminal.leave();
  }

  /** Runs until the user or the process ends it. The terminal is as before then, whatever happens. */
  async run(): Promise<Ending> {
    // What nobody caught must not be printed on a screen that is about to vanish.
    const caught = (cause: unknown): void => this.#fail(cause);
    process.on('uncaughtException', caught);
    this.#terminal.enter();
    try {
      this.#show('source' in this.#subject ? this.#subject.first : { program: this.#program, pauseNs: 0 });
      for (;;) {
        if (this.#error !== null) throw this.#error.cause;
        if (this.#ending !== null) return this.#ending;
        await this.#turn();
      }
    } finally {
      this.leave();
      process.off('uncaughtException', caught);
    }
  }

  /** Does what is due, or waits for it. */
  async #turn(): Promise<void> {
    const subject = this.#subject;
    if (this.#saving) await this.#save();
    else if ('source' in subject && this.#state.sampling?.paused === false && performance.now() >= this.#nextLookAt) {
      await this.#sample(subject.source);
    } else await this.#rest();
    await setImmediate();
  }

  async #sample(source: ProcessSource): Promise<void> {
    const begun = performance.now();
    const before = process.cpuUsage();
    try {
      source.mode = this.#state.sampling?.mode ?? 'live';
      this.#show(await source.next());
      this.#failures = 0;
    } catch (error) {
      this.#missed(error);
    }
    const { user, system } = process.cpuUsage(before);
    const { intervalMs } = this.#state.sampling ?? { intervalMs: 0 };
    // A look that comes late does not put off those behind it; and at least as much time as it used is left to others.
    const due = Math.max(this.#nextLookAt, begun - intervalMs);
    this.#nextLookAt = Math.max(due + intervalMs, performance.now() + (user + system) / 1000);
  }

  #show({ program, pauseNs }: Taken): void {
    this.#program = program;
    const answer = buildView(program, questionOf(this.#state));
    this.#happen({ kind: 'looked', look: answer, atMs: performance.now(), pauseNs });
  }

  #answer(): void {
    try {
      this.#happen({ kind: 'answered', look: buildView(this.#program, questionOf(this.#state)) });
    } catch (error) {
      this.#missed(error);
    }
  }

  /** The end of the process ends the session; a look that did not succeed is taken again, some times. */
  #missed(error: unknown): void {
    if (error instanceof GospyError && error.exitCode === ExitCode.noGoProcess) {
      this.#ending = { kind: 'target-ended', error };
      return;
    }
    const known = error instanceof GospyError || error instanceof MemoryFault;
    if (!known || ++this.#failures > MAX_FAILURES) throw error;
    this.#happen({ kind: 'said', message: error instanceof GospyError ? explain(error) : error.message });
  }

  async #save(): Promise<void> {
    this.#saving = false;
    if (!('source' in this.#subject)) {
      this.#happen({ kind: 'said', message: 'this is a file already' });
      return;
    }
    const { source, saveAs } = this.#subject;
    const path = saveAs();
    try {
      this.#happen({ kind: 'said', message: `saving ${path} ...` });
      this.#show(await source.save(path));
      this.#happen({ kind: 'said', message: `saved ${path}, as shown` });
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      this.#happen({ kind: 'said', message: explain(error) });
    }
  }

  #happen(event: Event): void {
    const { state, effects } = update(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#do(effect);
    this.#terminal.draw(screen(this.#state, this.#terminal.glyphs));
  }

  #do(effect: Effect): void {
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
      case 'ask':
        this.#answer();
        break;
      case 'reschedule':
        this.#nextLookAt = 0;
        break;
    }
    this.#wake();
  }

  /** Until a key was pressed, or the next look is due. */
  async #rest(): Promise<void> {
    const due = this.#state.sampling?.paused === false ? this.#nextLookAt - performance.now() : null;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, due === null ? 2 ** 30 : Math.max(0, due));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  /** What goes wrong in a listener ends the session as what goes wrong in a look. */
  #safely(listener: () => void): void {
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
