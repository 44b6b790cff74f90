import t from 'tap';
import { releaseOf } from '../../analyze/runtime/releases.js';
import { Symbolizer } from '../../analyze/stacks/symbolize.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';

function printed(name: string, minor: number): string {
  return new Symbolizer(new Memory(new SegmentSource([])), releaseOf({ minor })).printedName(name);
}

t.test('names: type arguments are shortened as a traceback of the release shortens them', (t) => {
  for (const minor of [21, 26, 27]) {
    t.equal(printed('main.(*T).Run.func1', minor), 'main.(*T).Run.func1');
    t.equal(printed('main.Map[go.shape.int,go.shape.[]string]', minor), 'main.Map[...]');
    t.equal(printed('main.(*pair[go.shape.int,map[string]int]).receive-fm', minor), 'main.(*pair[...]).receive-fm');
    t.equal(printed('main.broken]', minor), 'main.broken]');
  }
  const twice = 'main.(*pair[int,map[string]int]).convert[float64].func1';
  t.equal(printed(twice, 26), 'main.(*pair[...].func1', 'from the first bracket to the last');
  t.equal(printed(twice, 27), 'main.(*pair[...]).convert[...].func1', 'each pair of brackets');
  t.end();
});
