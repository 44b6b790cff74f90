import { plus, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoType } from '../types/type-reader.js';
import type { Value, Values } from '../types/values.js';
import type { WaitsOn } from '../waits/model.js';
import { receiverOf, receiverType, type Call, type Found } from './decoder.js';

/** The types of locks. Those of 1.24 and newer have an internal/sync.Mutex in them. */
const LOCKS: Partial<Record<WaitsOn['kind'], string>> = {
  mutex: 'sync.Mutex',
  rwmutex: 'sync.RWMutex',
  once: 'sync.Once',
};
/** Structs and arrays in one another that are looked into. */
const MAX_DEPTH = 8;

/** A lock, and the name of its type. */
export interface Lock {
  readonly addr: Addr;
  readonly type: string;
}

/** The lock that a goroutine waits for; null where it waits for none. */
export function lockOf(waits: readonly WaitsOn[]): Lock | null {
  const [on] = waits;
  const type = on === undefined ? undefined : LOCKS[on.kind];
  return on === undefined || on.addr === null || type === undefined ? null : { addr: on.addr, type };
}

/**
 * Which field of which type a lock is: `main.store.mu`. The receiver of a method on the stack shows it, where the lock lies in
 * the object, or in one that a field of it points to.
 */
export function nameLock(call: Call, values: Values, lock: Lock): Found | null {
  const receiver = receiverOf(call);
  return receiver === null ? null : nameIn(values.at(receiver.type, receiver.word.value), values, lock);
}

/**
 * The same by the method that called the lock's, if its receiver is not live: the frame may have it elsewhere. What it has
 * there may be another object that has a lock at the same place: this is only probable.
 */
export function guessLock(call: Call, values: Values, lock: Lock): Found | null {
  const type = receiverType(call.func);
  if (type === null) return null;
  for (const word of call.frameWords()) {
    const found = onFault(
      () => nameIn(values.at(type, word), values, lock),
      () => null,
    );
    if (found !== null) return found;
  }
  return null;
}

function nameIn(object: Value, values: Values, lock: Lock): Found | null {
  const inner = [object, ...pointedTo(values, object)].find((value) => holds(value, lock.addr));
  const path = inner === undefined ? null : fieldAt(values, inner.type, lock.addr - inner.addr, lock.type);
  const name = inner === undefined || path === null ? null : inner.type.name + path;
  return name === null ? null : { text: name, shape: name, group: name, since: null };
}

function holds({ type, addr }: Value, lock: Addr): boolean {
  return lock >= addr && lock < addr + type.sizeBytes;
}

function* pointedTo(values: Values, object: Value): Iterable<Value> {
  for (const { type: at, offset } of values.types.fieldsOf(object.type)) {
    const type = values.types.at(at);
    const elem = type?.kind === 'ptr' ? values.types.at(type.elem) : null;
    if (elem?.kind !== 'struct') continue;
    const to = onFault(
      () => values.memory.ptr(plus(object.addr, offset)),
      () => 0 as Addr,
    );
    if (to !== 0) yield { type: elem, addr: to };
  }
}

/** The path of fields to a lock at an offset in a type; null where it has none there. */
function fieldAt(values: Values, type: GoType, offset: number, lock: string, depth = 0): string | null {
  if (type.name === lock && offset === 0 && depth > 0) return '';
  if (depth > MAX_DEPTH) return null;
  if (type.kind === 'array') {
    const elem = values.types.at(type.elem);
    if (elem === null || elem.sizeBytes === 0) return null;
    const index = Math.floor(offset / elem.sizeBytes);
    const rest = fieldAt(values, elem, offset - index * elem.sizeBytes, lock, depth + 1);
    return rest === null ? null : `[${index}]${rest}`;
  }
  for (const field of values.types.fieldsOf(type)) {
    const inner = values.types.at(field.type);
    if (inner === null || offset < field.offset || offset >= field.offset + inner.sizeBytes) continue;
    const rest = fieldAt(values, inner, offset - field.offset, lock, depth + 1);
    if (rest !== null) return `.${field.name}${rest}`;
  }
  return null;
}
