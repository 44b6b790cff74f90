import type { PhysicalFrame } from '../stacks/step.js';
import type { SyncRole } from './sync-types.js';

export const COND_WAIT = 'sync.(*Cond).Wait';
/** The runtime's functions by which other packages wait for a semaphore: `sync.runtime_SemacquireMutex` and its like (sema.go). */
const SEMACQUIRE = /(^|\/)(sync|poll)\.runtime_Semacquire/;
const MUTEX = /^(internal\/)?sync\.\(\*Mutex\)\./;
/** What calls Mutex.Lock, and by it waits for its own Mutex. */
const BY_MUTEX: readonly (readonly [caller: RegExp, SyncRole])[] = [
  [/^sync\.\(\*RWMutex\)\.Lock$/, 'writers'],
  [/^sync\.\(\*Once\)\.(Do|doSlow)$/, 'once'],
];
const BY_SEMAPHORE: readonly (readonly [caller: RegExp, SyncRole])[] = [
  [/^sync\.\(\*RWMutex\)\.RLock$/, 'reader'],
  [/^sync\.\(\*RWMutex\)\.Lock$/, 'writer'],
  [/^sync\.\(\*WaitGroup\)\.Wait$/, 'waitgroup'],
  [/^internal\/poll\.\(\*fdMutex\)\.rwlock$/, 'fdmutex'],
];
/** Wait reasons since Go 1.20 and 1.24 that tell by themselves. */
const BY_REASON: readonly (readonly [reason: RegExp, SyncRole])[] = [
  [/^sync\.Cond\.Wait/, 'cond'],
  [/^sync\.RWMutex\.RLock/, 'reader'],
  [/^sync\.RWMutex\.Lock/, 'writer'],
  [/^sync\.WaitGroup\.Wait/, 'waitgroup'],
];

/** Which semaphore a goroutine waits for, by its wait reason and, where that is the same for several, its frames. */
export function syncRole(reason: string, frames: readonly PhysicalFrame[]): SyncRole {
  return match(BY_REASON, reason) ?? roleOfFrames(frames) ?? (reason.startsWith('sync.Mutex') ? 'mutex' : 'semaphore');
}

function roleOfFrames(frames: readonly PhysicalFrame[]): SyncRole | null {
  let isBehind = false;
  let byMutex = false;
  for (const { point, trap } of frames) {
    for (const { name } of point.lines(trap)) {
      if (!isBehind) {
        isBehind = SEMACQUIRE.test(name);
        if (!isBehind && !name.startsWith('runtime.')) return null;
      } else if (MUTEX.test(name)) byMutex = true;
      else return byMutex ? (match(BY_MUTEX, name) ?? 'mutex') : match(BY_SEMAPHORE, name);
    }
  }
  return byMutex ? 'mutex' : null;
}

function match(rules: readonly (readonly [pattern: RegExp, SyncRole])[], text: string): SyncRole | null {
  return rules.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
