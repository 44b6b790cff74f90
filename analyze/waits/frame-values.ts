import type { Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { Registers } from './code-registers.js';
import { type Origin, type Value } from './code-values.js';
import type { Cpu } from './instruction.js';
import type { MapLookup } from './map-lookup.js';

/** What a value of the code is in one frame. */
export interface Concrete {
  readonly address: number;
  /** False where it was read through a pointer that may have changed since the code used it. */
  readonly isSure: boolean;
}

const WORD = 8;

/** Works out what values of the code are in a frame, from the words that the frame still holds. */
export class FrameValues {
  readonly #memory: Memory;
  readonly #cpu: Cpu;
  readonly #maps: MapLookup | null;
  readonly #registers: Registers;
  /** The stack pointer at the function's entry. */
  readonly #entrySp: number;

  /** `fp` is the frame's. `maps` looks into maps. */
  constructor(memory: Memory, cpu: Cpu, registers: Registers, fp: number, maps: MapLookup | null = null) {
    this.#maps = maps;
    this.#memory = memory;
    this.#cpu = cpu;
    this.#registers = registers;
    this.#entrySp = fp - cpu.pushed;
  }

  /** null where nothing in the frame tells. */
  find({ origin, offset }: Value): Concrete | null {
    const found = this.#origin(origin);
    return found === null ? null : { ...found, address: found.address + offset };
  }

  #origin(origin: Origin): Concrete | null {
    if (origin.kind === 'address') return { address: 0, isSure: true };
    if (origin.kind === 'frame') return { address: this.#entrySp, isSure: true };
    for (const [slot, value] of this.#registers.slots) {
      if (value.origin.key !== origin.key) continue;
      const word = readWord(this.#memory, this.#entrySp + slot);
      if (word !== null) return { address: word - value.offset, isSure: true };
    }
    if (origin.base === null) return null;
    if (origin.kind === 'entry') return this.#entry(origin);
    const base = this.find(origin.base);
    if (origin.index !== null) return sum(base, this.find(origin.index), origin.number);
    const word = base === null ? null : readWord(this.#memory, base.address);
    if (base === null || word === null) return null;
    // What a closure has captured stays what it is.
    const { kind, number } = origin.base.origin;
    return { address: word, isSure: base.isSure && kind === 'register' && number === this.#cpu.closure };
  }

  #entry({ number, base, index, length }: Origin): Concrete | null {
    const [map, key, bytes] = [base, index, length].map((value) => (value == null ? null : this.find(value)));
    if (map == null || key == null || (length != null && bytes == null)) return null;
    const address = this.#maps?.find(number, map.address, key.address, bytes?.address ?? null) ?? null;
    // The map may have changed since.
    return address === null ? null : { address, isSure: false };
  }
}

function sum(base: Concrete | null, index: Concrete | null, times: number): Concrete | null {
  if (base === null || index === null) return null;
  return { address: base.address + times * index.address, isSure: base.isSure && index.isSure };
}

/** What a value of a deferred function is when it is called: by its closure, and by the arguments that were saved for it. */
export function whenCalled(
  memory: Memory,
  cpu: Cpu,
  value: Value,
  { closure, saved }: { readonly closure: number; readonly saved: readonly number[] },
): Concrete | null {
  const { origin, offset } = value;
  if (origin.kind === 'address') return { address: offset, isSure: true };
  if (origin.kind === 'register' && origin.number === cpu.closure) return { address: closure + offset, isSure: true };
  if (origin.kind === 'argument' || origin.kind === 'register') {
    const isFirst = origin.kind === 'register' && origin.number === cpu.first;
    const word = isFirst ? saved[0] : origin.kind === 'argument' ? saved[origin.number / WORD - 1] : undefined;
    return word === undefined ? null : { address: word + offset, isSure: true };
  }
  if (origin.base === null || origin.kind === 'entry') return null;
  const base = whenCalled(memory, cpu, origin.base, { closure, saved });
  if (origin.index !== null) {
    const total = sum(base, whenCalled(memory, cpu, origin.index, { closure, saved }), origin.number);
    return total === null ? null : { ...total, address: total.address + offset };
  }
  const word = base === null ? null : readWord(memory, base.address);
  if (base === null || word === null) return null;
  const isCaptured = origin.base.origin.kind === 'register';
  return { address: word + offset, isSure: base.isSure && isCaptured };
}

/** A word that may be an address; null where it is absent or cannot be one. */
export function readWord(memory: Memory, at: number): Addr | null {
  if (!(at > 0)) return null;
  return onFault(
    () => memory.ptr(at as Addr),
    () => null,
  );
}
