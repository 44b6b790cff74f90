import { readFileSync } from 'node:fs';
import t from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { reportWaits } from '../../../analyze/report/waits.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { cellName } from '../../support/releases.js';
import { LOCKS_CELLS } from '../../support/wait-cells.js';

/** The connections of a process by the kernel's word, as `LOCAL -> REMOTE`. */
function connectionsOf(pid: number): string[] {
  const end = (text = ''): string => {
    const [address = '', port = ''] = text.split(':');
    const bytes = (address.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).reverse();
    return `${bytes.join('.')}:${parseInt(port, 16)}`;
  };
  const lines = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => {
    const [, local, remote] = line.trim().split(/\s+/);
    return `${end(local)} -> ${end(remote)}`;
  });
}

for (const cell of LOCKS_CELLS.filter(({ link, args }) => link === 'stripped' && args === undefined).slice(-2)) {
  t.test(`waits: a chain that ends at a connection names both its ends (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell));
    const live = new LiveProcess(target.pid, 'read');
    t.teardown(() => {
      live.close();
    });
    const [, waiter, holder] = /^H io waiter=(\d+) holder=(\d+)/m.exec(target.stdout) ?? [];
    const connections = connectionsOf(target.pid);
    const check = (program: GoProgram, what: string): void => {
      const { chain } = reportWaits(program, { goid: Number(waiter) }).value;
      t.equal(chain.at(-1)?.goid, Number(holder), `${what}: the chain ends at the reader`);
      const message = chain.at(-1)?.message ?? '';
      const [, ends = ''] = /^waits to read descriptor \(fd \d+.*\), tcp (.*)$/.exec(message) ?? [];
      t.ok(connections.includes(ends), `${what}: ${message}`);
    };
    check(openProgram(live.image()), 'live');
    const { image } = await captureToImage(target.pid, { mode: 'stop', writer: 'test' });
    check(openProgram(image), 'stop');
  });
}
