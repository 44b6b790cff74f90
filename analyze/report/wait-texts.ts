import { hex } from '../../snapshots/address.js';
import { isSure, type Strength, type WaitsOn } from '../waits/model.js';
import type { Needs } from '../waits/wait-graph.js';

/** The names of the types that are waited on. */
const NAMES: Readonly<Record<WaitsOn['kind'], string>> = {
  chan: 'chan',
  select: 'chan',
  nilchan: 'nil chan',
  mutex: 'Mutex',
  rwmutex: 'RWMutex',
  waitgroup: 'WaitGroup',
  once: 'Once',
  cond: 'Cond',
  fdmutex: 'fdMutex',
  semaphore: 'semaphore',
  sleep: 'timer',
  timer: 'timer',
  fd: 'descriptor',
};

/** What it is, with its address and state: `Mutex 0xc000123450 (locked, 3 waiters)`. */
export function thingText(on: WaitsOn, name = thingName(on)): string {
  const { kind, addr, fd } = on;
  const at = addr === null || kind === 'fd' ? '' : ` ${hex(addr)}`;
  const state = [
    ...(fd === undefined ? [] : [`fd ${fd}`]),
    ...lockState(on),
    ...(on.counter === undefined ? [] : [`counter ${on.counter}`]),
    ...channelState(on),
    ...timeState(on),
  ];
  return `${name}${at}${state.length === 0 ? '' : ` (${state.join(', ')})`}`;
}

/** What kind of thing it is: `Mutex`, `chan int`. */
export function thingName(on: WaitsOn): string {
  return on.kind === 'chan' || on.kind === 'select' ? `chan${typeOf(on)}` : NAMES[on.kind];
}

/** What a goroutine that waits does: `waits for Mutex 0xc000123450 (locked, 3 waiters)`. */
export function waitText(on: WaitsOn): string {
  const thing = thingText(on);
  switch (on.kind) {
    case 'chan':
    case 'timer':
      return on.op === 'send' ? `waits to send on ${thing}` : `waits to receive from ${thing}`;
    case 'select':
      if (on.addr === null) return 'waits in a select without cases, forever';
      return on.op === null
        ? `waits in a select for ${thing}`
        : `waits in a select to ${VERBS[on.op] ?? on.op} ${thing}`;
    case 'nilchan':
      return `waits on a nil channel, forever`;
    case 'rwmutex':
      return `waits to ${on.op === 'rlock' ? 'read-lock' : 'lock'} ${thing}`;
    case 'fdmutex':
    case 'fd':
      return `waits to ${on.op ?? 'use'} ${thing}`;
    case 'sleep':
      return `sleeps${dueText(on)}`;
    case 'mutex':
    case 'waitgroup':
    case 'once':
    case 'cond':
    case 'semaphore':
      return `waits for ${thing}`;
  }
}

/** Timers that are to fire later than in thirty years are set so as not to fire (time.Duration ends at 292 years). */
const NEVER_NS = 1e18;

function firesText(dueNs: number): string {
  return dueNs < 0 ? 'due now' : dueNs >= NEVER_NS ? 'never due' : `due in ${spanText(dueNs)}`;
}

/** `, due in 3.2 s`; empty where that is not known. */
export function dueText(on: WaitsOn): string {
  return timeState(on)
    .map((text) => `, ${text}`)
    .join('');
}

/** What is done with a channel. */
export const VERBS: Partial<Record<NonNullable<WaitsOn['op']>, string>> = { send: 'send on', recv: 'receive from' };

/**
 * Who ends a wait on it, before the name of a goroutine: `held by`, `probably held by`, `may be sent by`. `needs` tells a Cond by
 * which goroutines wait for a lock of the program's own.
 */
export function enderText({ kind, op }: WaitsOn, strength: Strength, needs: Needs): string {
  const certainly = isSure(strength) ? '' : strength === 'probable' ? 'probably ' : 'perhaps ';
  switch (kind) {
    case 'mutex':
    case 'rwmutex':
    case 'once':
    case 'fdmutex':
      return `${certainly}held by`;
    case 'waitgroup':
      return `its Done ${certainly}due from`;
    case 'cond':
      return needs === 'holder' ? `its lock ${certainly}held by` : 'may be signalled by';
    case 'chan':
    case 'select':
    case 'nilchan':
    case 'semaphore':
    case 'sleep':
    case 'timer':
    case 'fd':
      return op === 'send' ? 'may be received by' : 'may be sent by';
  }
}

/**
 * What to say where nobody is known who would end the wait; null where that is nothing to wonder at. `why` says why
 * nobody could be found, or who may be meant; null where somebody would have been found.
 */
export function nobodyText({ kind, op, state, counter, closed }: WaitsOn, why: string | null): string | null {
  switch (kind) {
    case 'mutex':
    case 'rwmutex':
    case 'once':
      if (state !== undefined && !state.locked && state.readers === 0) return 'it is free: a waiter is about to get it';
      return `no holder found: ${why ?? 'its goroutine may have ended'}`;
    case 'waitgroup':
      if (counter === 0) return 'nothing is left to be done: the waiter is about to go on';
      return `no goroutine found that would call Done: ${why ?? 'it may have ended without'}`;
    case 'chan':
      if (closed === true) return 'it is closed: the waiter is about to go on';
      return `no goroutine found that would ${op === 'send' ? 'receive' : 'send or close'}${after(why)}`;
    case 'cond':
      return `no goroutine found that would signal${after(why)}`;
    case 'nilchan':
    case 'select':
    case 'fdmutex':
    case 'semaphore':
    case 'sleep':
    case 'timer':
    case 'fd':
      return null;
  }
}

function after(why: string | null): string {
  return why === null ? '' : `: ${why}`;
}

/** Where a thing stands in the list; null where it does not: an idle receiver is nothing to report. */
export function orderOf({ kind, op, addr }: WaitsOn, waiters: number): number | null {
  switch (kind) {
    case 'mutex':
    case 'rwmutex':
    case 'once':
    case 'fdmutex':
      return 0;
    case 'waitgroup':
      return 1;
    case 'chan':
    case 'select':
      if (op === 'send') return 2;
      return waiters > 1 && addr !== null ? 4 : null;
    case 'cond':
    case 'semaphore':
      return 3;
    case 'nilchan':
    case 'sleep':
    case 'timer':
    case 'fd':
      return null;
  }
}

function typeOf({ elemType }: WaitsOn): string {
  return elemType === undefined || elemType === null ? '' : ` ${elemType}`;
}

function lockState({ kind, state }: WaitsOn): string[] {
  if (state === undefined) return [];
  const { locked, readers, waiters, starving } = state;
  const held = readers > 0 ? `held by ${count(readers, 'reader')}` : locked ? 'locked' : 'free';
  return [held, count(waiters, 'waiter'), ...(starving && kind === 'mutex' ? ['starving'] : [])];
}

function channelState({ len, cap, closed }: WaitsOn): string[] {
  if (len === undefined || cap === undefined) return [];
  const room =
    cap === 0
      ? 'unbuffered'
      : len === cap
        ? `full: ${len} of ${cap}`
        : len === 0
          ? `empty: 0 of ${cap}`
          : `${len} of ${cap}`;
  return [room, ...(closed === true ? ['closed'] : [])];
}

function timeState({ kind, deadlineNs, dueNs }: WaitsOn): string[] {
  const due = dueNs === undefined ? [] : dueNs === null ? ['stopped'] : [firesText(dueNs)];
  if (kind !== 'fd' || deadlineNs === undefined) return due;
  return [deadlineNs === null ? 'no deadline' : `deadline ${deadlineNs < 0 ? 'past' : `in ${spanText(deadlineNs)}`}`];
}

/** `20 ms`, `3.2 s`, `1.5 h` */
export function spanText(ns: number): string {
  const s = ns / 1e9;
  if (s < 1) return `${Math.ceil(ns / 1e6)} ms`;
  return s >= 3600
    ? `${(s / 3600).toFixed(1)} h`
    : s >= 60
      ? `${(s / 60).toFixed(1)} min`
      : `${s.toFixed(s >= 10 ? 0 : 1)} s`;
}

function count(n: number, noun: string): string {
  return `${String(n).replace(/\B(?=(\d{3})+$)/g, ',')} ${noun}${n === 1 ? '' : 's'}`;
}
