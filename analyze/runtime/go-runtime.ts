import { hex, type Addr } from '../../snapshots/address.js';
import { withParts, type ProcessImage, type Thread } from '../../snapshots/image.js';
import { onFault, type Memory, type MemoryFault } from '../../snapshots/memory.js';
import type { GoVersion } from '../binary/go-version.js';
import { WarningCollector, type Warning } from '../warnings.js';
import { AncestorReader } from './ancestors.js';
import type { Globals } from './globals.js';
import { GoroutineReader, type G } from './goroutine.js';
import { LabelReader } from './labels.js';
import type { Layouts } from './layouts.js';
import type { GoCode } from './locate-modules.js';
import { readMachines, type M } from './machine.js';
import { readProcessors, type P } from './processor.js';
import { WaitReasons } from './wait-reasons.js';

/** What was found out once about a program and holds in every image of it. */
export interface Found {
  readonly code: GoCode;
  readonly layouts: Layouts;
  readonly globals: Globals;
  /** What could not be told about the program itself. */
  readonly warnings: readonly Warning[];
}

/** The Go runtime in an image: the layouts of its release, its globals, and typed views of what they hold. */
export class GoRuntime {
  readonly image: ProcessImage;
  readonly memory: Memory;
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
  #machines: readonly M[] | null = null;
  #threadOf: Map<number, Thread> | null = null;

  constructor(image: ProcessImage, found: Found) {
    this.image = image;
    this.memory = image.memory;
    this.found = found;
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
   * The same runtime in an image of the process of which some parts are others, such as its memory. What is known of the
   * program holds there, its warnings too.
   */
  over(changes: Partial<ProcessImage>): GoRuntime {
    return new GoRuntime(withParts(this.image, changes), this.found);
  }

  /** What could not be told so far: about the program, and about what was read of this image. */
  get warnings(): readonly Warning[] {
    return this.#collector.all;
  }

  /** Notes what could not be told; the same warning may be given any number of times. */
  warn(warning: Warning): void {
    this.#collector.add(warning);
  }

  get version(): GoVersion {
    return this.code.version;
  }

  /** GOMAXPROCS; the number of Ps where the variable was removed from the program. */
  get gomaxprocs(): number {
    const { gomaxprocs, allp } = this.globals;
    const ps = this.memory.word(allp, 8);
    const value = gomaxprocs === null ? 0 : this.memory.i32(gomaxprocs);
    return value > 0 && value <= ps ? value : ps;
  }

  get machines(): readonly M[] {
    if (this.#machines === null) {
      const { machines, damage } = readMachines(this.memory, this.layouts, this.globals);
      if (damage !== null) this.warn({ code: 'machines-damaged', message: damage });
      this.#machines = machines;
    }
    return this.#machines;
  }

  /** Those that can be read; damaged ones become a warning. */
  get processors(): readonly P[] {
    const { processors, damage } = readProcessors(this.memory, this.layouts, this.globals);
    if (damage !== null) this.warn({ code: 'processors-damaged', message: damage });
    return processors;
  }

  /** Goroutines that are not dead, in the order of their ids. One that cannot be read becomes a warning. */
  *goroutines(): Iterable<G> {
    for (const address of this.goroutineAddresses()) {
      const g = this.goroutineAt(address as Addr);
      if (g !== null) yield g;
    }
  }

  /** How many {@link goroutines} there are. */
  get goroutineCount(): number {
    let count = 0;
    for (const address of this.goroutineAddresses()) if (this.goroutineAt(address as Addr) !== null) count++;
    return count;
  }

  /**
   * Where all goroutines lie, the dead ones too, in the order of their ids; those that the image does not list any more
   * become a warning. Throws MemoryFault where allgs is damaged.
   */
  goroutineAddresses(): Float64Array {
    const { addresses, absent } = this.goroutineReader.presentAddresses(this.globals.allgs);
    this.#noteAbsent(absent);
    const goids = addresses.map((address) => this.goroutineReader.goidAt(address as Addr));
    // An array's own sort takes hardly any time for what is nearly in order, as allgs is.
    const order = Array.from(addresses, (_, i) => i).sort((a, b) => (goids[a] ?? 0) - (goids[b] ?? 0));
    return Float64Array.from(order, (i) => addresses[i] ?? 0);
  }

  /** Goroutines, of those looked at so far, of which nothing can be said, dead ones included. */
  get unreadable(): number {
    return this.#absent + this.#unreadable.size;
  }

  /** The thread of an M, or null where the image has none of that id. */
  threadOf(m: M): Thread | null {
    this.#threadOf ??= new Map(this.image.threads.map((thread) => [thread.namespaceTid, thread]));
    return m.procid === 0 ? null : (this.#threadOf.get(m.procid) ?? null);
  }

  machineAt(addr: Addr): M | null {
    return addr === 0 ? null : (this.machines.find((m) => m.addr === addr) ?? null);
  }

  /** The goroutine at an address; null for a dead one, and for one that cannot be read, which becomes a warning. */
  protected goroutineAt(address: Addr): G | null {
    return onFault(
      () => (this.goroutineReader.isDead(address) ? null : this.goroutineReader.read(address)),
      (fault) => this.#noteUnreadable(address, fault),
    );
  }

  #noteUnreadable(address: Addr, { message }: MemoryFault): null {
    this.#unreadable.add(address);
    const text = `the goroutine at ${hex(address)} cannot be read: ${message}`;
    this.warn({ code: 'goroutine-unreadable', message: text });
    return null;
  }

  #noteAbsent(absent: number): void {
    this.#absent = absent;
    if (absent === 0) return;
    const message = `${absent} goroutines cannot be read: the memory that lists them is not in the image`;
    this.warn({ code: 'goroutines-missing', message });
  }
}
