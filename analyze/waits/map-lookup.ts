import type { Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import { mapEntries, mapLength } from '../types/maps.js';
import { Values } from '../types/values.js';

/** Maps with more entries are not searched, nor are longer keys compared: a capture reads what is looked at in its pause. */
const MAX_ENTRIES = 64;
const MAX_KEY = 64;

/** Finds what maps of a program have at a key, as runtime.mapaccess1_fast64 and mapaccess1_faststr do (runtime/map_fast*.go). */
export class MapLookup {
  readonly #program: GoProgram;
  #values: Values | null = null;

  constructor(program: GoProgram) {
    this.#program = program;
  }

  /**
   * The address of the value at a key of a map of a type; null where that is not known. `key` is the key itself, or where it lies
   * if it is a string of `length` bytes.
   */
  find(type: number, map: number, key: number, length: number | null): Addr | null {
    return onFault(
      () => this.#find(type as Addr, map as Addr, key, length),
      () => null,
    );
  }

  #find(type: Addr, map: Addr, key: number, length: number | null): Addr | null {
    const { memory, code, layouts } = this.#program;
    const modules = code.modules.map(({ module }) => module);
    const values = (this.#values ??= new Values(memory, modules, layouts.release.types));
    const known = values.types.at(type);
    if (known === null || mapLength(values, map) > MAX_ENTRIES) return null;
    for (const entry of mapEntries(values, known, map)) {
      const { addr } = entry.key;
      // Of other keys nothing gets into a snapshot, where they are absent then.
      if (isKey(memory.unrecorded, addr, key, length) && isKey(memory, addr, key, length)) return entry.value.addr;
    }
    return null;
  }
}

/** Whether a key is the one that is looked for; false for one that is absent. */
function isKey(memory: Memory, at: Addr, key: number, length: number | null): boolean {
  return onFault(
    () => (length === null ? memory.word(at) === key : isString(memory, at, key as Addr, length)),
    () => false,
  );
}

function isString(memory: Memory, at: Addr, key: Addr, length: number): boolean {
  if (memory.word(at, 8) !== length || length > MAX_KEY) return false;
  const other = memory.ptr(at);
  if (other === key) return true;
  const [a, b] = [memory.bytes(other, length), memory.bytes(key, length)];
  return a.every((byte, i) => byte === b[i]);
}
