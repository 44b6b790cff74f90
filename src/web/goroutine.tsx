import type { JSX } from 'preact';
import { printable } from '../render/text.js';
import { age } from './format.js';
import { Detail, Fact, GoroutineLink, runtimeName, StackView, State, type ViewProps } from './parts.js';
import { href } from './route.js';

/** One goroutine: what is known of it, and its stack. */
export function Goroutine({ row, onClose, ...props }: ViewProps & { row: number; onClose: () => void }): JSX.Element {
  const { capture, side } = props;
  const { goroutines } = capture.data;
  const goid = capture.goid(row);
  const runtime = capture.runtime(row);
  const wait = capture.waitNs(row);
  const stack = capture.stack(row);
  const thread = capture.thread(row);
  const parent = goroutines.parentGoid[row] ?? 0;
  const on = capture.tables.text(goroutines.waitsOn[row] ?? -1);
  const work = capture.data.workSets[goroutines.work[row] ?? -1] ?? [];
  const [entry, creator] = [capture.entry(row), capture.creator(row)];
  const alike = String(goroutines.stack[row] ?? -1);
  return (
    <Detail title={`Goroutine ${goid}`} of={String(row)} onClose={onClose}>
      <dl class="facts">
        <Fact name="State">
          <State status={capture.status(row)} text={capture.status(row)} />
          {goroutines.waitReason[row] !== -1 && `, ${capture.state(row)}`}
          {wait >= 0 && `, for ${age(wait)} or longer`}
        </Fact>
        {work.map((item) => (
          <Fact key={item} name="Works on">
            {capture.tables.text(item)}
          </Fact>
        ))}
        {on !== '' && <Fact name="Waits on">{on}</Fact>}
        {entry !== null && (
          <Fact name="Function">
            <span class="func">{entry.func}</span> <span class="file">{entry.file}</span>
          </Fact>
        )}
        {creator !== null && (
          <Fact name="Made by">
            <span class="func">{creator.func}</span> <span class="file">{creator.file}</span>
            {parent !== 0 && (
              <>
                {' '}
                in goroutine <GoroutineLink {...props} goid={parent} runtime={runtime} />
              </>
            )}
          </Fact>
        )}
        {thread !== null && (
          <Fact name="Thread">
            M{thread.m}, thread {thread.tid}
          </Fact>
        )}
        {capture.labels(row).map(([name, value]) => (
          <Fact key={name} name={`Label ${printable(name)}`}>
            {printable(value)}
          </Fact>
        ))}
        {capture.has(row, 'system') && <Fact name="Kind">one of the runtime’s own</Fact>}
        {capture.has(row, 'lockedToThread') && <Fact name="Locked">to its thread</Fact>}
        {capture.has(row, 'torn') && <Fact name="Torn">it moved while it was read</Fact>}
        {!capture.isOneRuntime && <Fact name="Runtime">{runtimeName(capture, runtime)}</Fact>}
      </dl>
      <h3>
        Stack <a href={href('goroutines', { by: 'stack', group: alike, side })}>all with the same stack</a>
      </h3>
      <StackView
        lines={capture.tables.linesOf(stack?.frames ?? [], stack?.user ?? -1)}
        truncated={capture.tables.text(stack?.truncated ?? -1)}
      />
    </Detail>
  );
}
