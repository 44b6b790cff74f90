import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { explainStack, type Explanation } from '../../analyze/report/explain.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { explanationText } from '../../src/render/explain.js';
import { temporaryFolder } from '../support/gsp.js';
import { startGoTarget } from './go-target.js';
import { gospy } from './gospy-process.js';

const SAMPLE = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));
const PAGE = fileURLToPath(new URL('../../../docs/debugging-a-stack.md', import.meta.url));
const STEP = fileURLToPath(new URL('../../../analyze/stacks/step.ts', import.meta.url));
const WIDTH = 100;

async function goroutinesOf(path: string): Promise<GoroutineWithStack[]> {
  return (JSON.parse((await gospy(['stacks', path, '--json'])).stdout) as { goroutines: GoroutineWithStack[] })
    .goroutines;
}

t.test('explain: prints each step with its rule and its words, in 100 columns', async (t) => {
  const image = openSnapshot(SAMPLE);
  t.teardown(() => image.close());
  const program = openProgram(image);
  for (const g of program.goroutines()) {
    const explanation = explainStack(program, g);
    const text = explanationText(explanation);
    t.match(text, new RegExp(`^goroutine ${g.goid} \\[`));
    t.match(text, /\nThe stack is whole\.\n$/);
    t.same(
      text.split('\n').filter((line) => line.length > WIDTH),
      [],
    );
    const steps = [...text.matchAll(/^(\d+)\. (.+)$/gm)].map(([, number, func]) => [Number(number), func]);
    const functions = explanation.steps.map(({ func }, i) => [i + 1, func]);
    t.same(steps, functions, `the functions of goroutine ${g.goid}`);
    if (g.goid === 1) t.match(await gospy(['explain', SAMPLE, '1']), { code: 0, stdout: text, stderr: '' });
  }
});

t.test('explain: --json prints one document of gospy.explain/1', async (t) => {
  const { code, stdout } = await gospy(['explain', SAMPLE, '1', '--json']);
  t.equal(code, 0);
  const document = JSON.parse(stdout) as Record<string, unknown>;
  t.same(Object.keys(document), [
    ...['schema', 'target', 'runtimes', 'goid', 'runtime', 'status', 'waitReason', 'start', 'steps', 'truncated'],
    ...['advice', 'warnings'],
  ]);
  t.match(document, {
    ...{ schema: 'gospy.explain/1', target: { kind: 'snapshot', arch: 'amd64' }, goid: 1, status: 'waiting' },
    ...{ truncated: null, advice: null, warnings: [] },
    start: { from: 'g.sched', thread: null, words: [{ name: 'g.sched.pc', addr: /^0x/, value: /^0x/ }] },
  });
  const { steps } = document as unknown as Explanation;
  for (const step of steps) {
    t.same(Object.keys(step), [
      ...['rule', 'message', 'func', 'pc', 'sp', 'lr', 'trap', 'frameSize', 'frames', 'words', 'next'],
    ]);
  }
  const [frames] = (await goroutinesOf(SAMPLE)).filter(({ goid }) => goid === 1).map((g) => g.frames);
  t.same(
    steps.flatMap((step) => step.frames),
    frames,
    'the frames of gospy stacks',
  );
});

t.test('explain, stacks: a live process is named by --pid, and goroutines are the only arguments', async (t) => {
  const { pid } = await startGoTarget(t, temporaryFolder(t));
  const { code, stdout, stderr } = await gospy(['explain', '--pid', String(pid), '1', '--json']);
  t.equal(code, 0, stderr);
  t.match(JSON.parse(stdout), { target: { kind: 'live', pid }, goid: 1, truncated: null });
  for (const command of ['explain', 'stacks']) {
    for (const args of [
      ['1', '--pid', String(pid)],
      ['--pid', String(pid), '1'],
    ]) {
      const { code, stdout } = await gospy([command, ...args]);
      t.equal(code, 0);
      t.same(stdout.match(/^goroutine \d+/gm), ['goroutine 1'], `${command} ${args.join(' ')}`);
    }
  }
});

t.test('explain: what it does not take is exit code 2', async (t) => {
  const cases: readonly [args: string[], stderr: RegExp][] = [
    [[SAMPLE, '999'], /there is no goroutine 999 among the \d+ that are alive/],
    [[SAMPLE], /no goroutine is named/],
    [['--pid', '1'], /no goroutine is named/],
    [[], /no goroutine is named/],
    [[SAMPLE, 'odd'], /'odd'/],
    [[SAMPLE, '0'], /'0'/],
    [['--pid', '1', 'odd'], /'odd'/],
    [['--pid', '1', SAMPLE, '1'], /not both/],
    [[SAMPLE, '1', '2'], /too many arguments/],
  ];
  for (const [args, stderr] of cases) {
    t.match(await gospy(['explain', ...args]), { code: 2, stdout: '', stderr }, `explain ${args.join(' ')}`);
  }
  t.match(await gospy(['explain', '/nowhere.gsp', '1']), { code: 5, stdout: '' });
});

t.test('docs/debugging-a-stack.md: has every rule, and shows what gospy prints', async (t) => {
  const page = readFileSync(PAGE, 'utf8');
  const [, union = ''] = /export type RuleCode =([^;]*);/.exec(readFileSync(STEP, 'utf8')) ?? [];
  const codes = [...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code ?? '');
  t.ok(codes.length > 20);
  t.same([...page.matchAll(/^- `([a-z-]+)`: /gm)].map(([, code]) => code).sort(), codes.sort(), 'every rule');
  const [, goid = '', shown = ''] =
    /\$ gospy explain snapshots\/samples\/queue\.gsp (\d+)\n([^]*?)```/.exec(page) ?? [];
  const { stdout } = await gospy(['explain', SAMPLE, goid]);
  const withoutAddresses = (text: string): string => text.replace(/0x[0-9a-f]+ */g, '0x? ');
  t.equal(withoutAddresses(shown), withoutAddresses(stdout), 'what it prints');
});
