import { basename } from 'node:path';
import type { GoProgram, Programs } from '../../analyze/program.js';
import { listAllThreads } from '../../analyze/report/all-runtimes.js';
import { Describer } from '../../analyze/report/goroutines.js';
import type { Loc, Wait, WorkItem } from '../../analyze/report/model.js';
import { readScheduler } from '../../analyze/report/scheduler.js';
import type { Selection } from '../../analyze/report/selection.js';
import { withSharedStacks, type SharedStack, type StackedGoroutine } from '../../analyze/report/shared-stacks.js';
import { runtimeOf, targetOf } from '../../analyze/report/summary.js';
import { describeWait } from '../../analyze/report/waiting.js';
import { describeWork } from '../../analyze/report/working-on.js';
import { WaitsOnReader } from '../../analyze/waits/waits-on.js';
import type { Cell, Database } from './database.js';
import type { Identity } from './partitions.js';
import { LOADED, NEST_STACKS } from './tables.js';

/** What to load of a target. */
export interface Loading {
  /** The file that it is, or null for a process. */
  readonly path: string | null;
  /** What the program is called in the data set; the name of its file unless given. */
  readonly service?: string | undefined;
  readonly selection?: Selection;
}

/** Appends targets to the tables of a database, one after another. */
export class Loader {
  readonly #database: Database;
  /** The captures that were loaded, each by its {@link Identity.snapshot}. */
  readonly #captures = new Set<string>();
  #snaps = 0;
  #stacks = 0;
  #places = new Places();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Loads all runtimes of a target, and returns whose they are. A capture that was loaded, from a copy of the file, is not again. */
  async load(programs: Programs, loading: Loading): Promise<readonly Identity[]> {
    const identities: Identity[] = [];
    const firstSnap = this.#snaps + 1;
    const [first] = programs;
    if (first.image.capture.capturedAt !== null) {
      const { snapshot } = identityOf(first, loading.path, loading.service);
      if (this.#captures.has(snapshot)) return [];
      this.#captures.add(snapshot);
    }
    for (const program of programs) identities.push(await this.#loadSnapshot(program, loading));
    const snapOf = (runtime: number): number => firstSnap + programs.findIndex(({ runtime: { n } }) => n === runtime);
    await this.#loadGoroutines(programs, loading.selection ?? {}, snapOf);
    await this.#addNewPlaces();
    await this.#loadThreads(programs, snapOf);
    return identities;
  }

  /** Removes all that was loaded. */
  async clear(): Promise<void> {
    this.#database.flush();
    this.#captures.clear();
    this.#places = new Places();
    for (const table of [...Object.keys(LOADED), 'loaded_stacks']) await this.#database.run(`DELETE FROM ${table}`);
  }

  /** Nests what was loaded: to be called before it is asked for. */
  async finish(): Promise<void> {
    this.#database.flush();
    await this.#database.run(NEST_STACKS);
  }

  async #loadSnapshot(program: GoProgram, { path, service }: Loading): Promise<Identity> {
    const { kind, pid, arch, gomaxprocs, mode, pauseNs } = targetOf(program);
    const { n, file, goVersion, buildId } = runtimeOf(program, 0);
    const identity = identityOf(program, path, service);
    const { snapshot, host, date } = identity;
    const { capturedAt } = program.image.capture;
    const snap = ++this.#snaps;
    const rows = await this.#database.appendTo('loaded_snapshots');
    rows.add([
      ...[snap, path, snapshot, identity.service, host, date, capturedAt, pid, n, file, buildId, goVersion],
      ...[kind, arch, gomaxprocs, mode, pauseNs],
    ]);
    const processors = await this.#database.appendTo('loaded_ps');
    for (const p of readScheduler(program).ps) {
      processors.add([snap, p.id, p.status, p.schedtick, p.syscalltick, p.m, p.runqsize, p.sinceScheduledNs]);
    }
    return identity;
  }

  async #loadGoroutines(programs: Programs, selection: Selection, snapOf: (runtime: number) => number): Promise<void> {
    const rows = await this.#database.appendTo('loaded_goroutines');
    const frames = await this.#database.appendTo('loaded_frames');
    const stacks = new WeakMap<SharedStack, number>();
    const readers = new Map(programs.map((program) => [program, new NestedReader(program)]));
    for (const one of withSharedStacks(programs, selection)) {
      const { program, stack } = one;
      const snap = snapOf(program.runtime.n);
      let number = stacks.get(stack);
      if (number === undefined) {
        stacks.set(stack, (number = ++this.#stacks));
        for (const row of frameRows(stack)) frames.add([snap, number, ...row]);
      }
      rows.add(goroutineRow(snap, number, one, this.#places, readers.get(program)?.cells(one) ?? []));
    }
  }

  async #addNewPlaces(): Promise<void> {
    const rows = await this.#database.appendTo('loaded_places');
    for (const [number, place] of this.#places.takeNew()) rows.add([number, ...placeCells(place)]);
  }

  async #loadThreads(programs: Programs, snapOf: (runtime: number) => number): Promise<void> {
    const rows = await this.#database.appendTo('loaded_threads');
    for (const { runtime, m, tid, name, state, goid, frames } of listAllThreads(programs).value) {
      const [innermost] = frames;
      const snap = snapOf(runtime ?? programs[0].runtime.n);
      rows.add([snap, m, tid, name, state, goid, ...placeCells(innermost ?? null)]);
    }
  }
}

type Place = Omit<Loc, 'pc'>;

/** Numbers places: equal ones have the same. */
class Places {
  readonly #numbers = new Map<string, number>();
  /** The same by object: most places of a program are the same objects. */
  readonly #known = new WeakMap<Place, number>();
  readonly #new: [number: number, place: Place][] = [];

  numberOf(place: Place | null): number | null {
    if (place === null) return null;
    let number = this.#known.get(place);
    if (number === undefined) {
      const key = `${place.line} ${place.file}\n${place.func}`;
      number = this.#numbers.get(key);
      if (number === undefined) {
        this.#numbers.set(key, (number = this.#numbers.size));
        this.#new.push([number, place]);
      }
      this.#known.set(place, number);
    }
    return number;
  }

  /** Those that were numbered since this was called last. */
  takeNew(): readonly (readonly [number: number, place: Place])[] {
    return this.#new.splice(0);
  }
}

function identityOf(program: GoProgram, path: string | null, service: string | undefined): Identity {
  const { image, runtime } = program;
  const { capturedAt } = image.capture;
  const host = image.host.hostname === '' ? null : image.host.hostname;
  const name = service ?? basename(image.executable.path);
  const when = capturedAt ?? (path === null ? '' : basename(path));
  return {
    snapshot: [name, host ?? '', image.pid, when, runtime.n].join('/'),
    ...{ service: name, host },
    date: capturedAt === null || !/^\d{4}-\d\d-\d\dT/.test(capturedAt) ? null : capturedAt.slice(0, 10),
  };
}

function* frameRows({ frames }: SharedStack): Iterable<Cell[]> {
  let depth = 0;
  for (const { pc, lines } of frames) {
    for (const { func, file, line, inlined } of lines) yield [depth++, func, file, line, pc, inlined];
  }
}

function goroutineRow(
  snap: number,
  number: number,
  { goroutine: g, stack }: StackedGoroutine,
  places: Places,
  nested: readonly Cell[],
): Cell[] {
  const row: Cell[] = [snap, number, g.goid, g.status, g.waitReason, g.waitSinceNs, g.system];
  row.push(g.thread?.m ?? null, g.thread?.tid ?? null, g.lockedToThread, g.parentGoid);
  row.push(
    places.numberOf(g.creator),
    places.numberOf(g.entry),
    places.numberOf(stack.user),
    places.numberOf(stack.app),
  );
  row.push(g.torn, stack.truncated, ...nested);
  return row;
}

/** Reads what a row nests, as JSON: labels, what the goroutine waits on, and what it works on. */
class NestedReader {
  readonly #waits: WaitsOnReader;
  readonly #describer: Describer;
  readonly #capturedAt: string | null;

  constructor(program: GoProgram) {
    this.#capturedAt = program.image.capture.capturedAt;
    this.#waits = new WaitsOnReader(program);
    this.#describer = new Describer(program);
  }

  cells({ g, goroutine: { labels } }: StackedGoroutine): [labels: string, waitsOn: string, work: string] {
    const waits = this.#waits.of(g).map((wait) => waitRow(describeWait(wait)));
    const work = this.#describer.workOf(g).map((one) => workRow(describeWork(one, this.#capturedAt)));
    return [Object.keys(labels).length === 0 ? '{}' : JSON.stringify(labels), listText(waits), listText(work)];
  }
}

function listText(items: readonly object[]): string {
  return items.length === 0 ? '[]' : JSON.stringify(items);
}

function placeCells(loc: Place | null): [Cell, Cell, Cell] {
  return loc === null ? [null, null, null] : [loc.func, loc.file, loc.line];
}

/** With the names of the fields that tables.ts declares; JSON leaves out those that are not known. */
function waitRow(wait: Wait): object {
  const { kind, addr, op, len, cap, elemType, closed, counter, fd, deadlineNs, dueNs } = wait;
  return { kind, addr, op, len, cap, elem_type: elemType, closed, counter, fd, deadline_ns: deadlineNs, due_ns: dueNs };
}

function workRow({ kind, text, sure, since, group }: WorkItem): object {
  return { kind, text, sure, since, grouped: group };
}
