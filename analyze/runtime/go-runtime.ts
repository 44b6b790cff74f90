import { hex, type Addr } from '../../snapshots/address.js';
import { withParts, type ProcessImage, type Thread } from '../../snapshots/image.js';
import { onFault, type Memory, type MemoryFault } from '../../snapshots/memory.js';
import type { GoVersion } from '../binary/go-version.js';
import { WarningCollector, type Warning } from '../warnings.js';
import { AncestorReader } from './ancestors.js';
import type { Globals } from './globals.js';
import { GoroutineReader, type G } from './goroutine.js';
import { GoroutineColumns } from './goroutine-columns.js';
import { LabelReader } from './labels.js';
import type { Layouts } from './layouts.js';
import type { GoCode, RuntimeFile } from './locate-modules.js';
import { readMachines, type M } from './machine.js';
import { readProcessors, type P } from './processor.js';
import { WaitReasons } from './wait-reasons.js';

/** Which of the runtimes of a process it is. */
export interface RuntimeId extends Omit<RuntimeFile, 'path'> {
  /** The executable or library that it is in: {@link RuntimeFile.path}. */
  readonly file: string;
  /** Counts from 1: those in the process's executable first, then by address. */
  readonly n: number;
}

/** Facts about a program that hold in every image of it. */
export interface Found {
  readonly runtime: RuntimeId;
  readonly code: GoCode;
  readonly layouts: Layouts;
  readonly globals: Globals;
  /** What could not be found out about the program itself. */
  readonly warnings: readonly Warning[];
}

/**
 * An order of goroutines: by id or, for reports in which the order does not show, as their stacks lie in memory, so that
 * each part of an image is needed once.
 */
export type GoroutineOrder = 'goid' | 'stack';

/** The Go runtime in an image: the layouts of its release, its globals, and typed views of its records. */
export class GoRuntime {
  readonly image: ProcessImage;
  readonly memory: Memory;
  /** Which of the runtimes of the process this is. */
  readonly runtime: RuntimeId;
  readonly code: GoCode;
  readonly layouts: Layouts;
  readonly globals: Globals;
  readonly goroutineReader: GoroutineReader;
  readonly waitReasons: WaitReasons;
  readonly labelReader: LabelReader;
  readonly ancestorReader: AncestorReader;
  readonly found: Found;
  readonly #collector: WarningCollector;
  readonly #unreadable = new Set<Addr>();
  #absent = 0;
  #columns: GoroutineColumns | null = null;
  #machines: readonly M[] | null = null;
  #threadOf: Map<number, Thread> | null = null;
  #machineAt: Map<Addr, M> | null = null;

  constructor(image: ProcessImage, found: Found) {
    this.image = image;
    this.memory = image.memory;
    this.found = found;
    this.runtime = found.runtime;
    this.code = found.code;
    this.layouts = found.layouts;
    this.globals = found.globals;
    this.#collector = new WarningCollector(found.warnings);
    this.goroutineReader = new GoroutineReader(this.memory, this.layouts);
    this.waitReasons = new WaitReasons(this.memory, this.globals.waitReasonStrings);
    this.labelReader = new LabelReader(this.memory, this.layouts.release);
    this.ancestorReader = new AncestorReader(this.memory, this.layouts);
  }

  /**
   * The same runtime in an image with some other parts, such as newer memory. It starts with the warnings about the
   * program, and without those about this image.
   */
  over(changes: Partial<ProcessImage>): GoRuntime {
    return new GoRuntime(withParts(this.image, changes), this.found);
  }

  /** What could not be found out about the program, and of this image as far as it was read. */
  get warnings(): readonly Warning[] {
    return this.#collector.all;
  }

  /** Adds a warning, unless it was added before. */
  warn(warning: Warning): void {
    this.#collector.add(warning);
  }

  /** Runs a pass over goroutines in any order. What it warns of is listed by goroutine id, as if it went by that. */
  listWarningsByGoid(pass: () => void): void {
    this.#collector.listByGoid(pass);
  }

  /** The same for a pass that goes on as its items are asked for. */
  listingWarningsByGoid<T>(pass: Iterable<T>): Iterable<T> {
    return this.#collector.listingByGoid(pass);
  }

  get version(): GoVersion {
    return this.code.version;
  }

  /** runtime.gomaxprocs; the number of Ps where the linker removed the variable. Throws MemoryFault. */
  get gomaxprocs(): number {
    const { gomaxprocs, allp } = this.globals;
    const ps = this.memory.word(allp, 8);
    const value = gomaxprocs === null ? 0 : this.memory.i32(gomaxprocs);
    return value > 0 && value <= ps ? value : ps;
  }

  /** All Ms. Where the list of them is damaged, those before the damage, and a warning. */
  get machines(): readonly M[] {
    if (this.#machines === null) {
      const { machines, damage } = readMachines(this.memory, this.layouts, this.globals);
      if (damage !== null) this.warn({ code: 'machines-damaged', message: damage });
      this.#machines = machines;
    }
    return this.#machines;
  }

  /** The Ps that can be read. Adds a warning where some are damaged. */
  get processors(): readonly P[] {
    const { processors, damage } = readProcessors(this.memory, this.layouts, this.globals);
    if (damage !== null) this.warn({ code: 'processors-damaged', message: damage });
    return processors;
  }

  /**
   * The goroutines that are not dead, field by field: read at the first use, and kept. Adds a warning where parts of the
   * list of goroutines are absent. Throws MemoryFault where runtime.allgs is damaged.
   */
  get goroutineColumns(): GoroutineColumns {
    if (this.#columns === null) {
      const { addresses, absent } = this.goroutineReader.presentAddresses(this.globals.allgs);
      this.#warnAbsent(absent);
      this.#columns = new GoroutineColumns(this.memory, this.goroutineReader, addresses);
    }
    return this.#columns;
  }

  /** The goroutines that are not dead, by id unless `order` says otherwise. Adds a warning for each that cannot be read. */
  *goroutines(order: GoroutineOrder = 'goid'): Iterable<G> {
    for (const row of this.goroutineRows(order)) {
      const g = this.goroutineIn(row);
      if (g !== null) yield g;
    }
  }

  /** The rows of {@link goroutineColumns} in an order. */
  goroutineRows(order: GoroutineOrder): Iterable<number> {
    return order === 'stack' ? this.goroutineColumns.byStack() : this.goroutineColumns.byGoid;
  }

  /** Those of the {@link goroutines} that have one of some ids. The others are not looked at. */
  *goroutinesWith(goids: ReadonlySet<number>): Iterable<G> {
    const { byGoid, goid } = this.goroutineColumns;
    for (const row of byGoid) {
      const g = goids.has(goid[row] ?? 0) ? this.goroutineIn(row) : null;
      if (g !== null) yield g;
    }
  }

  /** The goroutine in a row of {@link goroutineColumns}; null, with a warning, where it cannot be read. */
  goroutineIn(row: number): G | null {
    const columns = this.goroutineColumns;
    return columns.isReadable(row) ? columns.at(row) : this.goroutineAt((columns.addr[row] ?? 0) as Addr);
  }

  /**
   * The same goroutines by the address of their g, each once; the columns are not kept for it. In this order a look at all of
   * them goes over memory only once, whatever order they were started in.
   */
  *goroutinesByAddress(): Iterable<G> {
    const { addresses, absent } = this.goroutineReader.presentAddresses(this.globals.allgs);
    this.#warnAbsent(absent);
    let last = -1;
    for (const address of addresses.sort()) {
      const g = address === last ? null : this.goroutineAt(address as Addr);
      last = address;
      if (g !== null) yield g;
    }
  }

  /** How many {@link goroutines} there are. */
  get goroutineCount(): number {
    const columns = this.goroutineColumns;
    let count = 0;
    for (let row = 0; row < columns.length; row++)
      if (columns.isReadable(row) || this.goroutineIn(row) !== null) count++;
    return count;
  }

  /** How many of the goroutines looked at so far cannot be read, dead ones included. */
  get unreadable(): number {
    return this.#absent + this.#unreadable.size;
  }

  /** The thread that an M runs on; null where the image does not have it. */
  threadOf(m: M): Thread | null {
    this.#threadOf ??= new Map(this.image.threads.map((thread) => [thread.namespaceTid, thread]));
    return m.procid === 0 ? null : (this.#threadOf.get(m.procid) ?? null);
  }

  /** The M at an address, or null. */
  machineAt(addr: Addr): M | null {
    this.#machineAt ??= new Map(this.machines.map((m) => [m.addr, m]));
    return this.#machineAt.get(addr) ?? null;
  }

  /** Addresses of all goroutines that are listed, in no order, dead ones included. Warns and throws as {@link goroutines}. */
  listedAddresses(): Float64Array {
    const { addresses, absent } = this.goroutineReader.presentAddresses(this.globals.allgs);
    this.#warnAbsent(absent);
    return addresses;
  }

  /** Of the goroutines at some addresses those that are not dead. Adds a warning for each that cannot be read. */
  *goroutinesAt(addresses: Iterable<number>): Iterable<G> {
    for (const address of addresses) {
      const g = this.goroutineAt(address as Addr);
      if (g !== null) yield g;
    }
  }

  /** The goroutine at an address. null where it is dead, or with a warning where it cannot be read. */
  goroutineAt(address: Addr): G | null {
    return onFault(
      () => (this.goroutineReader.isDead(address) ? null : this.goroutineReader.read(address)),
      (fault) => this.#warnUnreadable(address, fault),
    );
  }

  #warnUnreadable(address: Addr, { message }: MemoryFault): null {
    this.#unreadable.add(address);
    const text = `the goroutine at ${hex(address)} cannot be read: ${message}`;
    this.warn({ code: 'goroutine-unreadable', message: text });
    return null;
  }

  #warnAbsent(absent: number): void {
    this.#absent = absent;
    if (absent === 0) return;
    const message = `${absent} goroutines cannot be read: the memory that lists them is not in the image`;
    this.warn({ code: 'goroutines-missing', message });
  }
}
