import t from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { LocationResolver } from '../../analyze/report/locations.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { HchanReader } from '../../analyze/runtime/hchan.js';
import { SudogReader } from '../../analyze/runtime/sudog.js';
import { WaitReader, type WaitsFor } from '../../analyze/runtime/wait-records.js';
import { captureToImage } from '../../capture/capture.js';
import { plus, type Addr } from '../../snapshots/address.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, TESTED_RELEASES, type Cell } from '../support/releases.js';

/** Of a goroutine of the program, by the function that it was started with. */
interface Waiting {
  readonly g: G;
  readonly reason: string;
  readonly waits: WaitsFor | null;
}

function waitingIn(program: GoProgram): Map<string, Waiting[]> {
  const places = new LocationResolver(program);
  const reader = new WaitReader(program);
  const out = new Map<string, Waiting[]>();
  for (const g of program.goroutines()) {
    if (g.status !== 'waiting') continue;
    const name = places.entry(g)?.func ?? '';
    const reason = program.waitReasons.at(g.waitreason) ?? '';
    out.set(name, [...(out.get(name) ?? []), { g, reason, waits: reader.waitsFor(g) }]);
  }
  return out;
}

/** The goroutines in a queue that begins at a sudog. */
function queue(program: GoProgram, first: Addr): Addr[] {
  const sudogs = new SudogReader(program.memory, program.layouts);
  const out: Addr[] = [];
  for (let at = first; at !== 0; at = sudogs.read(at).next) out.push(sudogs.goroutineOf(at));
  return out;
}

/** What is in the queues of the channels on which a goroutine waits, less what it says of itself. */
function channelFaults(program: GoProgram, { g, reason, waits }: Waiting): string[] {
  if (waits === null || waits.sudogs.length === 0) return [`goroutine ${g.goid} (${reason}) names no channel`];
  return waits.sudogs.flatMap(({ c, isSelect }) => {
    const channel = new HchanReader(program.memory, program.layouts).read(c);
    const queues = { 'chan receive': [channel.recvq], 'chan send': [channel.sendq] }[reason];
    const among = (queues ?? [channel.recvq, channel.sendq]).flatMap((first) => queue(program, first));
    const wrong: string[] = [];
    if (!among.includes(g.addr)) wrong.push(`goroutine ${g.goid} (${reason}) is not in the queue of its channel`);
    if (isSelect !== (reason === 'select')) wrong.push(`goroutine ${g.goid} (${reason}): isSelect ${isSelect}`);
    if (channel.closed || channel.qcount > channel.dataqsiz) wrong.push(`goroutine ${g.goid}: no such channel`);
    return wrong;
  });
}

const cells = TESTED_RELEASES.map((release): Cell => ({ fixture: 'park', release, link: 'stripped' }));

for (const cell of cells) {
  for (const mode of ['stop', 'live'] as const) {
    t.test(`capture: what goroutines wait for is in the snapshot (${cellName(cell)}, mode ${mode})`, async (t) => {
      if (!requireGo(t)) return;
      const running = await startGo(t, await buildGo(cell));
      const { image } = await captureToImage(running.pid, { mode, writer: 'test' });
      await running.kill();
      const program = openProgram(image);
      const { memory } = program;
      const waiting = waitingIn(program);
      const of = (name: string): Waiting[] => waiting.get(`main.${name}`) ?? [];
      const syncOf = (name: string): Addr[] => of(name).map(({ waits }) => waits?.sync ?? (0 as Addr));

      const onChannels = [...waiting].flatMap(([name, list]) =>
        name === 'main.selectNilChannels'
          ? []
          : list.filter(({ reason }) => ['chan receive', 'chan send', 'select'].includes(reason)),
      );
      t.ok(onChannels.length >= 12, `${onChannels.length} goroutines wait for channels`);
      t.same(
        onChannels.flatMap((one) => channelFaults(program, one)),
        [],
      );

      const [mutex, ...others] = syncOf('mutexWaiter');
      t.ok(mutex !== undefined && mutex !== 0, 'the mutex is known');
      t.same(others, [mutex], 'both wait for the same');
      const state = memory.i32(plus(mutex ?? (0 as Addr), -4));
      t.equal(state & 1, 1, 'it is locked');
      t.equal(state >> 3, 2, 'and counts two waiters');

      const [group, ...others2] = syncOf('groupWaiter');
      t.ok(group !== undefined && group !== 0, 'the WaitGroup is known');
      t.same(others2, [group], 'both wait for the same');
      t.equal(memory.u32(group ?? (0 as Addr), -8), 2, 'it counts two waiters');
      t.equal(memory.u32(group ?? (0 as Addr), -4), 1, 'and is not done');

      const [reader] = syncOf('readWaiterBehindWriter');
      t.ok(reader !== undefined && reader !== 0, 'the RWMutex is known');
      t.ok(memory.i32(reader ?? (0 as Addr), 4) < 0, 'a writer has it');

      for (const name of ['condWaiter', 'condWaiterOnReadLock']) {
        const [list] = syncOf(name);
        t.ok(list !== undefined && list !== 0, 'the Cond is known');
        t.equal(memory.u32(list ?? (0 as Addr)) - memory.u32(list ?? (0 as Addr), 4), 1, 'one waits for it');
        t.same(queue(program, memory.ptr(list ?? (0 as Addr), 16)), [of(name)[0]?.g.addr]);
      }
    });
  }
}
