import type { GoType } from '../types/type-reader.js';
import type { Value, Values } from '../types/values.js';
import { pointedTo, type Decoder, type Found } from './decoder.js';
import { unixMs } from './time-value.js';

/** Contexts in one another that are followed. */
const MAX_PARENTS = 64;
/** Types of package context that can be cancelled: cancelCtx, and those that begin with one. */
const CANCEL_CTX = 'context.cancelCtx';
const CANCELLED = new Set([CANCEL_CTX, 'context.timerCtx', 'context.afterFuncCtx']);
/** It hides the deadline and the end of what it is made of (1.21 and newer). */
const WITHOUT_CANCEL = 'context.withoutCancelCtx';
/** Of context.DeadlineExceeded, and of context.Canceled. */
const DEADLINE_EXCEEDED = 'context.deadlineExceededError';
const CANCELED = '*errors.errorString';

/**
 * The deadline of the context of a call, and whether it is over: context.go. Contexts of other packages are seen through, if
 * they embed one. A context that has no deadline and was not cancelled is not told.
 */
export const context: Decoder = {
  kind: 'context',
  handles: (func) => !func.startsWith('runtime.'),
  needsInterface: true,
  decode: (call, values) => {
    for (const word of call.interfaces()) {
      const at = pointedTo(word, values) ?? { type: word.type, addr: word.value };
      if (!isContext(values, at.type)) continue;
      const found = describe(values, at);
      if (found !== null) return { found, sure: word.mapped };
    }
    return null;
  },
};

function isContext(values: Values, struct: GoType): boolean {
  return CANCELLED.has(struct.name) || hasField(values, struct, 'Context');
}

function hasField(values: Values, struct: GoType, field: string): boolean {
  return values.types.fieldsOf(struct).some(({ name }) => name === field);
}

function describe(values: Values, innermost: Value): Found | null {
  let at: Value | null = innermost;
  let deadlineMs: number | null = null;
  let error: string | null = null;
  let cause: string | null = null;
  // Contexts on the way to the one where the end began, which ended those that are made of it; -1 before the first.
  let above = -1;
  let isKnown = false;
  for (let i = 0; i < MAX_PARENTS && at !== null && at.type.name !== WITHOUT_CANCEL; i++) {
    if (CANCELLED.has(at.type.name)) {
      const ended = typeOf(values, at, 'err');
      isKnown ||= above >= 0 && ended === null;
      if (!isKnown) {
        error = ended;
        cause = hasField(values, values.at(CANCEL_CTX, at.addr).type, 'cause') ? typeOf(values, at, 'cause') : null;
        above++;
      }
      if (at.type.name === 'context.timerCtx') deadlineMs ??= unixMs(values, values.get(at, 'deadline'));
    }
    at = parentOf(values, at);
  }
  return told(deadlineMs, error, cause, above > 0);
}

function told(deadlineMs: number | null, error: string | null, cause: string | null, byParent: boolean): Found | null {
  const end = error === DEADLINE_EXCEEDED ? 'deadline exceeded' : error === CANCELED ? 'cancelled' : error;
  if (end === null && deadlineMs === null) return null;
  const by = end !== null && byParent ? ' by a context that it is made of' : '';
  const why = cause === null || cause === error ? '' : `, cause ${cause}`;
  const ended = end === null ? '' : end + by + why;
  const deadline = deadlineMs === null ? '' : `deadline ${new Date(deadlineMs).toISOString()}`;
  const text = [ended, deadline].filter((part) => part !== '').join(', ');
  return {
    ...{ text, shape: text, group: ended === '' ? 'with a deadline' : ended, since: null },
    ...(deadlineMs === null ? {} : { deadlineMs }),
  };
}

/** The context that one is made of, which it embeds; null for the outermost. */
function parentOf(values: Values, at: Value): Value | null {
  if (!CANCELLED.has(at.type.name) && !hasField(values, at.type, 'Context')) return null;
  const parent = values.get(at, 'Context');
  return parent === null ? null : values.target(parent);
}

/** The type of an error in a field: an interface, or an atomic.Value (`err` since 1.25). null for nil. */
function typeOf(values: Values, at: Value, field: string): string | null {
  const value = values.get(at, field);
  const inner = value === null ? null : value.type.kind === 'interface' ? value : values.get(value, 'v');
  const word = inner === null ? 0 : values.memory.ptr(inner.addr);
  if (inner === null || word === 0) return null;
  return values.types.ofInterface(word, values.types.hasMethods(inner.type))?.name ?? 'an error';
}
