import type { Summary } from './code-calls.js';
import { resultOf, type Registers } from './code-registers.js';
import { entryOf, isLoaded, seenFrom, shifted, type Origin, type Value } from './code-values.js';
import type { Cpu, Instruction } from './instruction.js';

/** A call of a function, or a jump to it, with the registers right before it. */
export interface CallSite {
  readonly registers: Registers;
  readonly instruction: Instruction;
}

/**
 * A value of a callee's in terms of its caller: by what the callee was given, or by what it returns, such as the record whose lock
 * it has acquired. null where neither tells.
 */
export function seenByCaller(site: CallSite, { results }: Summary, value: Value): Value | null {
  return seenFrom(value, (origin) => {
    const given = givenAtSite(site, origin);
    if (given !== null || origin.kind === 'address' || origin.kind === 'frame') return given;
    const result = results.find(([, returned]) => returned.origin.key === origin.key);
    return result === undefined ? null : shifted(returnedBy(site, result), -result[1].offset);
  });
}

/** What a call leaves in registers, or on the stack, that it returns. */
export function storeResults(cpu: Cpu, inRegisters: boolean, site: CallSite, after: Registers, summary: Summary): void {
  const { sp } = after;
  for (const result of summary.results) {
    const value = returnedBy(site, result);
    if (inRegisters) after.set(result[0], value);
    else if (sp !== null) after.store(sp - cpu.pushed + result[0], value);
  }
}

/** What it has read in memory may be something else when it is called again: that is known by the place of the call alone. */
function returnedBy(site: CallSite, [at, value]: Summary['results'][number]): Value {
  const known = isLoaded(value) ? null : seenFrom(value, (origin) => givenAtSite(site, origin));
  return known ?? resultOf(`${site.instruction.at}`, at);
}

function givenAtSite({ registers, instruction }: CallSite, origin: Origin): Value | null {
  return givenAs(registers, origin, instruction.flow === 'call');
}

/** What a callee finds as an origin of its own, with these registers right before the call of it, or the jump to it. */
export function givenAs(registers: Registers, { kind, number }: Origin, isCall: boolean): Value | null {
  if (kind === 'register') return registers.get(number);
  return kind === 'argument' ? registers.argument(number, isCall) : null;
}

/** What a function of the runtime returns that looks into a map: it is given the type, the map and the key. */
export function lookedUp(cpu: Cpu, before: Registers, keys: 'integer' | 'string'): Value | null {
  // Arguments are passed in the same registers as results.
  const [type, map, key, length] = cpu.results.map((register) => before.get(register));
  if (type?.origin.kind !== 'address' || map == null || key == null) return null;
  if (keys === 'integer') return entryOf(type.offset, map, key, null);
  return length == null ? null : entryOf(type.offset, map, key, length);
}
