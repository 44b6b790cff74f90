import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { compare } from '../../../analyze/report/diff.js';
import { summarize } from '../../../analyze/report/summary.js';
import type { Addr } from '../../../snapshots/address.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { LayeredSource, Memory, SegmentSource, type Segment } from '../../../snapshots/memory.js';

const image = openSnapshot(fileURLToPath(new URL('../../../../snapshots/samples/queue.gsp', import.meta.url)));
t.teardown(() => image.close());
const program = openProgram(image);
const { processors } = program;

/** The sample with other bytes in some places. */
function withBytes(...segments: readonly Segment[]): typeof program {
  const memory = new Memory(new LayeredSource([new SegmentSource(segments), image.memory.source]));
  return program.over({ memory });
}

/** Puts a number where the status of the P at `addr` lies. */
function status(addr: Addr, value: number): Segment {
  return { addr: (addr + program.layouts.of('p').offset('status')) as Addr, bytes: Uint8Array.of(value, 0, 0, 0) };
}

function damageIn(warnings: readonly { readonly code: string; readonly message: string }[]): string[] {
  return warnings.filter(({ code }) => code === 'processors-damaged').map(({ message }) => message);
}

t.test('processors: those beside a damaged one are listed, with one warning', (t) => {
  t.ok(processors.length > 1);
  const damaged = withBytes(status(processors[1]?.addr ?? (0 as Addr), 77));
  const ids = processors.map(({ id }) => id).filter((id) => id !== 1);
  for (let pass = 0; pass < 2; pass++) {
    const { value, warnings } = summarize(damaged);
    t.same(
      value.ps.map(({ id }) => id),
      ids,
    );
    t.same(damageIn(warnings), [`1 of ${processors.length} Ps cannot be read: 77 is not a status of a P`]);
  }
  t.end();
});

t.test('processors: a list that cannot be read is empty, with a warning', (t) => {
  const damaged = withBytes({ addr: program.globals.allp, bytes: new Uint8Array(8).fill(0xff) });
  t.same(damaged.processors, []);
  t.match(damageIn(damaged.warnings), [/^runtime\.allp, the list of Ps, cannot be read: /]);
  t.end();
});

t.test('processors: a comparison pairs them by id, and says which side is damaged', (t) => {
  const damaged = withBytes(status(processors[0]?.addr ?? (0 as Addr), 77));
  const { value, warnings } = compare(program, damaged, { kind: 'status' });
  t.same(
    value.ps.map(({ id, before, after }) => [id, before === null, after === null]),
    processors.map(({ id }) => [id, false, id === 0]),
  );
  t.equal(damageIn(warnings).length, 1);
  t.end();
});
