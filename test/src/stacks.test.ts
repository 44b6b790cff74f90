import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Ancestor, GoroutineWithStack } from '../../analyze/report/model.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { PANICPARSE_CELL, type Release } from '../support/releases.js';
import { parseTraceback, type TracedAncestor } from '../support/traceback.js';
import { gospy } from './gospy-process.js';

/** One goroutine as panicparse read it. */
interface Parsed {
  readonly goid: number;
  readonly state: string;
  readonly locked: boolean;
  readonly frames: readonly Call[];
  readonly creator: readonly Place[];
}

interface Call extends Place {
  /** null where they are not known: they are printed as `...`. */
  readonly args: string | null;
}

interface Place {
  readonly func: string;
  readonly file: string;
  readonly line: number;
}

type Test = Parameters<typeof startGo>[0];

async function captured(t: Test, release: Release, godebug: string): Promise<{ program: GoProcess; path: string }> {
  const executable = await buildGo({ fixture: 'park', release, link: 'plain' });
  const program = await startGo(t, executable, { env: { GODEBUG: godebug } });
  await untilQuiet(program.pid);
  const path = join(temporaryFolder(t), 'park.gsp');
  const { code, stderr } = await gospy(['capture', '--pid', String(program.pid), '-o', path]);
  if (code !== 0) throw new Error(stderr);
  return { program, path };
}

async function goroutinesOf(path: string): Promise<GoroutineWithStack[]> {
  const { stdout } = await gospy(['goroutines', path, '--json']);
  return (JSON.parse(stdout) as { goroutines: GoroutineWithStack[] }).goroutines;
}

/** Runs panicparse on a text. */
async function panicparse(traceback: string): Promise<Parsed[]> {
  const child = spawn(await buildGo(PANICPARSE_CELL), { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(traceback);
  return JSON.parse(await text(child.stdout)) as Parsed[];
}

function place({ func, file, line }: Place): Place {
  return { func: (func === 'runtime.gopanic' ? 'panic' : func).replace(/ in goroutine \d+$/, ''), file, line };
}

function call({ args, ...at }: Call): unknown {
  return { ...place(at), args: args ?? '...' };
}

function ancestry({ goid, frames, creator }: Ancestor | TracedAncestor): unknown {
  return { goid, frames: frames.length, creator: creator === null || goid === 1 ? null : place(creator) };
}

/**
 * Returns return addresses at which the functions differ. Go looks up ancestors at the return address itself, which may lie
 * past the end of an inlined call or before the start of the next, and so sometimes names another function.
 */
function renamed(ours: readonly Ancestor[], printed: readonly TracedAncestor[]): string[] {
  const named = (func: string): string => (func === 'runtime.gopanic' ? 'panic' : func);
  return ours.flatMap(({ frames }, i) => {
    const theirs = printed[i]?.frames ?? [];
    return frames.filter(({ func }, at) => named(func) !== theirs[at]?.func).map(({ pc }) => pc);
  });
}

if (requireGo(t)) {
  for (const release of ['1.12', '1.21', '1.27'] as const) {
    t.test(`stacks: panicparse reads every goroutine of Go ${release} as it is`, async (t) => {
      const { program, path } = await captured(t, release, '');
      await program.kill();
      const goroutines = await goroutinesOf(path);
      const { stdout, code } = await gospy(['stacks', path]);
      t.equal(code, 0);
      const parsed = new Map((await panicparse(stdout)).map((g) => [g.goid, g]));
      t.equal(parsed.size, goroutines.length);
      for (const g of goroutines) {
        const read = parsed.get(g.goid);
        const state = g.waitReason ?? g.status;
        t.same(
          { ...read, frames: read?.frames.map(call), creator: read?.creator.map(place) },
          {
            ...{ goid: g.goid, state, locked: g.lockedToThread, frames: g.frames.map(call) },
            creator: g.creator === null || g.goid === 1 ? [] : [place(g.creator)],
          },
          `goroutine ${g.goid}`,
        );
      }
    });
  }

  for (const release of ['1.12', '1.17', '1.24', '1.27'] as const) {
    t.test(`goroutines: the ancestors are those that Go ${release} prints`, async (t) => {
      const { program, path } = await captured(t, release, 'tracebackancestors=3');
      const goroutines = new Map((await goroutinesOf(path)).map((g) => [g.goid, g]));
      const shown = parseTraceback((await gospy(['stacks', path])).stdout);
      let ancestors = 0;
      const [pcs, others] = [new Set<string>(), new Set<string>()];
      for (const { goid, ancestors: printed } of parseTraceback(await program.quit())) {
        const g = goroutines.get(goid);
        if (g === undefined || printed.length === 0) continue;
        ancestors += printed.length;
        for (const { frames } of g.ancestors ?? []) for (const { pc } of frames) pcs.add(pc);
        for (const pc of renamed(g.ancestors ?? [], printed)) others.add(pc);
        t.same(g.ancestors?.map(ancestry), printed.map(ancestry), `ancestors of goroutine ${goid}`);
        const text = shown.find((traced) => traced.goid === goid);
        t.same(text?.ancestors.map(ancestry), printed.map(ancestry), `in the text, of goroutine ${goid}`);
      }
      t.ok(others.size * 10 < pcs.size, `${others.size} of ${pcs.size} places have another name`);
      t.ok(ancestors > 40, `${ancestors} ancestors compared`);
    });
  }
}
