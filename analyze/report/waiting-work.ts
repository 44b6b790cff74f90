import type { Work } from '../../snapshots/work.js';
import type { WaitsOn } from '../waits/model.js';
import { dueText, thingName, thingText, VERBS } from './wait-texts.js';

/** Cases of a select that are told. */
const MAX_CASES = 4;

/**
 * What a goroutine works on by what it waits on: a channel, a lock or a timer; null for other waits. `lock` says which field
 * of which type the lock is, if that is known.
 */
export function workOfWaits(waits: readonly WaitsOn[], lock: Work | null): Work | null {
  const [on] = waits;
  switch (on?.kind) {
    case 'chan':
    case 'nilchan':
      return work('chan', useOf(on, thingText(on)), useOf(on, thingName(on)));
    case 'select':
      return on.addr === null ? work('chan', 'select without cases') : ofSelect(waits);
    case 'timer':
      return work('timer', useOf(on, thingText(on)), useOf(on, thingName(on)));
    case 'sleep':
      return work('timer', `sleep${dueText(on)}`, 'sleep');
    case 'mutex':
    case 'rwmutex':
    case 'once': {
      const name = lock?.text ?? `sync.${thingName(on)}`;
      const read = on.op === 'rlock' ? 'read ' : '';
      return { ...work('lock', read + thingText(on, name), read + name), sure: lock?.sure ?? true };
    }
    case 'waitgroup':
    case 'cond':
    case 'fdmutex':
    case 'semaphore':
    case 'fd':
    case undefined:
      return null;
  }
}

function work(kind: Work['kind'], text: string, group = text): Work {
  return { kind, text, sure: true, since: null, group };
}

function ofSelect(waits: readonly WaitsOn[]): Work {
  const cases = waits.slice(0, MAX_CASES).map((on) => useOf(on, thingText(on)));
  const more = waits.length > MAX_CASES ? [`${waits.length - MAX_CASES} more`] : [];
  const groups = new Set(waits.map((on) => useOf(on, thingName(on))));
  return work('chan', `select: ${[...cases, ...more].join(', ')}`, `select: ${[...groups].sort().join(', ')}`);
}

function useOf({ op }: WaitsOn, thing: string): string {
  return op === null ? thing : `${VERBS[op] ?? op} ${thing}`;
}
