import { NIL, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import { HchanReader, type Hchan } from '../runtime/hchan.js';
import { IO_REASON, PollDescReader } from '../runtime/poll-desc.js';
import { SudogReader, type Sudog } from '../runtime/sudog.js';
import { mayBeTimed } from '../runtime/timer-heaps.js';
import { SLEEP_REASON, TimerReader } from '../runtime/timers.js';
import { TypeNames } from '../types/type-names.js';
import { isBlocked, LOWEST, WaitReader } from '../runtime/wait-records.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { WaitsOn } from './model.js';
import { syncRole } from './sync-frames.js';
import { SyncTypes } from './sync-types.js';

/** Frames between a goroutine's innermost one and the function that called a method of package sync, inlined or not. */
const SYNC_DEPTH = 12;
/** Sudogs in one queue of a channel that are searched for a case of a select, where both queues have some. */
const MAX_QUEUE = 1024;

const REASON = /^(chan send|chan receive|select|semacquire|sync\.|sleep|IO wait)(?:.*\((nil chan|no cases)\))?/;

/** What a wait reason says; empty where it says nothing. */
interface Sense {
  readonly verb: string;
  readonly what: string;
}

/** Reads what goroutines wait on: of a goroutine that is blocked, the objects that it is blocked on. */
export class WaitsOnReader {
  readonly #program: GoProgram;
  readonly #records: WaitReader;
  readonly #sudogs: SudogReader;
  readonly #channels: HchanReader;
  readonly #types: TypeNames;
  readonly #sync: SyncTypes;
  readonly #polls: PollDescReader;
  readonly #timers: TimerReader;
  readonly #waiting: number;
  readonly #now: number | null;
  readonly #senses = new Map<string, Sense>();

  constructor(program: GoProgram) {
    const { memory, layouts, code } = program;
    this.#program = program;
    this.#records = new WaitReader(program);
    this.#sudogs = new SudogReader(memory, layouts);
    this.#channels = new HchanReader(memory, layouts);
    this.#types = new TypeNames(
      memory,
      code.modules.map(({ module }) => module),
      layouts.release.types,
    );
    this.#sync = new SyncTypes(memory, layouts.release);
    this.#polls = new PollDescReader(program);
    this.#timers = new TimerReader(program);
    const { monotonicNs } = program.image.capture;
    this.#now = monotonicNs === null ? null : Number(monotonicNs);
    this.#waiting = layouts.of('g').offset('waiting');
  }

  /**
   * What a goroutine waits on: one thing, or one for each case of a select. Empty where it is not blocked, waits for the
   * runtime's own work, or where what it waits on is absent or damaged. `frames` are those of its stack, at least the
   * innermost dozen, if they are known already.
   */
  of(g: G, frames?: readonly PhysicalFrame[]): readonly WaitsOn[] {
    if (!isBlocked(g)) return [];
    const reason = this.#program.waitReasons.at(g.waitreason) ?? '';
    const { verb, what } = this.#sense(reason);
    switch (verb) {
      case 'chan send':
      case 'chan receive': {
        const op = verb === 'chan send' ? 'send' : 'recv';
        if (what === 'nil chan') return [{ kind: 'nilchan', addr: null, op }];
        return this.#channelSudogs(g)
          .slice(0, 1)
          .map(({ c }) => this.#channel(c, op));
      }
      case 'select':
        return what === 'no cases' ? NEVER : this.#select(g);
      case 'semacquire':
      case 'sync.':
        return this.#semaphore(g, reason, frames);
      case SLEEP_REASON:
        return [{ kind: 'sleep', addr: null, op: null, ...this.#due(this.#timers.sleepOf(g)) }];
      case IO_REASON:
        return this.#descriptor(g);
      default:
        return [];
    }
  }

  /** The name of the type of a channel's values, whose descriptor is at an address; null where it is not known. */
  typeName(type: Addr): string | null {
    return this.#types.at(type);
  }

  #sense(reason: string): Sense {
    let sense = this.#senses.get(reason);
    if (sense === undefined) {
      const [, verb = '', what = ''] = REASON.exec(reason) ?? [];
      this.#senses.set(reason, (sense = { verb, what }));
    }
    return sense;
  }

  /** Those that name a channel: one of a goroutine that moved on meanwhile does not. */
  #channelSudogs(g: G): readonly Sudog[] {
    return (this.#records.waitsFor(g)?.sudogs ?? []).filter(({ c }) => c >= LOWEST);
  }

  #channel(c: Addr, op: 'send' | 'recv'): WaitsOn {
    const channel = this.#channels.tryRead(c);
    return { kind: this.#timerOf(channel) === 0 ? 'chan' : 'timer', addr: c, op, ...this.#contents(channel) };
  }

  #select(g: G): readonly WaitsOn[] {
    const sudogs = this.#channelSudogs(g);
    // Cases whose channel is nil have no sudog.
    if (sudogs.length === 0 && this.#hasNoSudogs(g)) return NEVER;
    return sudogs.map((sudog) => {
      const channel = this.#channels.tryRead(sudog.c);
      return { kind: 'select', addr: sudog.c, op: this.#direction(sudog, channel), ...this.#contents(channel) };
    });
  }

  #descriptor(g: G): readonly WaitsOn[] {
    const wait = this.#polls.waitOf(g);
    if (wait === null) return [];
    const { addr, fd, op, deadline } = wait;
    const left = deadline === 0 ? null : deadline < 0 ? deadline : this.#untilNs(deadline);
    return [{ kind: 'fd', addr, op, fd, ...(left === undefined ? {} : { deadlineNs: left }) }];
  }

  /** When something is due; `when` is 0 if it never is, and null if that is not known. */
  #due(when: number | null): Pick<WaitsOn, 'dueNs'> {
    const left = when === null ? undefined : when === 0 ? null : this.#untilNs(when);
    return left === undefined ? {} : { dueNs: left };
  }

  /** From the capture to a time of the runtime's clock; undefined where the capture did not look at it. */
  #untilNs(when: number): number | undefined {
    return this.#now === null ? undefined : when - this.#now;
  }

  #hasNoSudogs({ addr }: G): boolean {
    return onFault(
      () => this.#program.memory.word(addr, this.#waiting) === 0,
      () => false,
    );
  }

  #semaphore(g: G, reason: string, frames?: readonly PhysicalFrame[]): readonly WaitsOn[] {
    const sync = this.#records.waitsFor(g)?.sync ?? 0;
    if (sync < LOWEST) return [];
    const role = syncRole(reason, frames ?? this.#program.stackOf(g, SYNC_DEPTH).frames);
    return [this.#sync.waitOn(role, sync as Addr)];
  }

  #contents(channel: Hchan | null): Pick<WaitsOn, 'len' | 'cap' | 'elemType' | 'closed' | 'dueNs'> {
    if (channel === null || channel.qcount > channel.dataqsiz) return {};
    const { qcount, dataqsiz, closed, elemtype } = channel;
    const timer = this.#timerOf(channel);
    const due = timer === 0 ? {} : this.#due(this.#timers.whenOf(timer));
    return { len: qcount, cap: dataqsiz, elemType: this.typeName(elemtype), closed, ...due };
  }

  /** The timer of the channel of a time.Timer or time.Ticker; 0 for others. */
  #timerOf(channel: Hchan | null): Addr {
    if (channel === null) return NIL;
    return mayBeTimed(channel) ? this.#timers.ofChannel(channel.addr) : channel.timer;
  }

  /** Whether a case of a select sends or receives: by the queue that its sudog is in. */
  #direction(sudog: Sudog, channel: Hchan | null): 'send' | 'recv' | null {
    if (channel === null) return null;
    const { recvq, sendq } = channel;
    // Both have some only while one goroutine would both send and receive.
    if (recvq === 0 || sendq === 0) return recvq !== 0 ? 'recv' : sendq !== 0 ? 'send' : null;
    if (this.#isQueued(recvq, sudog)) return 'recv';
    return this.#isQueued(sendq, sudog) ? 'send' : null;
  }

  #isQueued(first: Addr, { addr }: Sudog): boolean {
    return onFault(
      () => {
        for (let at = first, i = 0; at !== 0 && i < MAX_QUEUE; i++) {
          if (at === addr) return true;
          at = this.#sudogs.read(at).next;
        }
        return false;
      },
      () => false,
    );
  }
}

/** Of a select without cases, or with nil channels only: nothing ends it. */
const NEVER: readonly WaitsOn[] = [{ kind: 'select', addr: null, op: null }];
