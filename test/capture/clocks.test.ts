import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { monotonicOffset } from '../../capture/process/clocks.js';
import { gospy } from '../src/gospy-process.js';
import { fakeRoot } from '../support/fake-root.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { skip } from '../support/skip.js';

const PID = 17;
const TYPED = { fixture: 'typed', release: '1.27', link: 'stripped' } as const;
const HOUR_NS = 3600e9;

t.test('clocks: by how much that of a process is ahead, as its time namespace says', (t) => {
  const offset = (
    spaces: { readonly own?: string; readonly time?: string; readonly children?: string },
    files: Readonly<Record<string, string>> = {},
  ): bigint | null => {
    const root = fakeRoot(t, { 'proc/self/ns/x': '', [`proc/${PID}/ns/x`]: '', ...files });
    const link = (to: string | undefined, path: string): void => {
      if (to !== undefined) symlinkSync(`time:[${to}]`, join(root, 'proc', path));
    };
    link(spaces.own, 'self/ns/time');
    link(spaces.time, `${PID}/ns/time`);
    link(spaces.children, `${PID}/ns/time_for_children`);
    return monotonicOffset(PID, root);
  };
  const other = { own: '1', time: '2', children: '2' };
  const at = (monotonic: string): string => `monotonic ${monotonic}\nboottime           7         0\n`;
  const self = { 'proc/self/timens_offsets': at('          0         0') };
  const says = (text: string): Record<string, string> => ({ ...self, [`proc/${PID}/timens_offsets`]: text });
  t.equal(offset({}), 0n, 'a kernel without time namespaces');
  t.equal(offset({ own: '1', time: '1', children: '1' }, says(at('5 0'))), 0n, "gospy's own namespace");
  t.equal(offset(other, says(at('      86400         5'))), 86_400_000_000_005n);
  t.equal(offset(other, says(at('         -3 250000000'))), -2_750_000_000n, 'behind');
  t.equal(offset(other, says('1 4 0\n7 9 0\n')), 4_000_000_000n, 'clocks by number');
  const ahead = { ...says(at('5 0')), 'proc/self/timens_offsets': at('2 0') };
  t.equal(offset(other, ahead), 3_000_000_000n, 'gospy is in a time namespace too');
  t.equal(offset(other), null, 'nothing is known');
  t.equal(offset({ ...other, children: '3' }, says(at('5 0'))), null, 'only that of its children is known');
  t.end();
});

if (requireGo(t)) {
  t.test('clocks: when a sleep ends is right in another time namespace', async (t) => {
    if (process.getuid?.() !== 0) {
      skip(t, 'only root can make a time namespace');
      return;
    }
    const inNamespace = (seconds: number): readonly [string, ...string[]] => [
      'unshare',
      '-T',
      '--monotonic',
      String(seconds),
    ];
    const sleeper = await buildGo(TYPED);
    const [unshare, ...words] = inNamespace(1e6);
    const away = await startGo(t, unshare, { args: [...words, sleeper] });
    const near = await startGo(t, sleeper);
    const path = join(temporaryFolder(t), 'clocks.gsp');
    const check = async (pid: number, mode: string, under: readonly string[] = []): Promise<void> => {
      const captured = await gospy(['capture', '--pid', String(pid), '-o', path, '--mode', mode], { under });
      t.equal(captured.code, 0);
      const { stdout } = await gospy(['goroutines', path, '--goid', '1', '--json']);
      const [main] = (JSON.parse(stdout) as { goroutines: readonly GoroutineWithStack[] }).goroutines;
      const [sleep] = main?.waitsOn ?? [];
      const due = sleep?.dueNs ?? NaN;
      t.ok(due > 0 && due < HOUR_NS, `${due} ns are left of an hour (${mode}, ${under.join(' ')})`);
    };
    for (const mode of ['stop', 'live']) await check(away.pid, mode);
    await check(near.pid, 'stop', inNamespace(5e5));
  });
}
