import type { JSX } from 'preact';
import { duration, printable, withThousands } from '../render/text.js';
import { Fact, GoroutineLink, PlainTable, runtimeName, Section, StackView, type ViewProps } from './parts.js';

/** Threads whose stacks are shown. */
const SHOWN = 200;

/** The Ps, the Ms and what all share. */
export function Scheduler(props: ViewProps): JSX.Element {
  const { capture } = props;
  const { summary, threads } = capture.data;
  const { ps, runtimes } = summary;
  const several = !capture.isOneRuntime;
  return (
    <div class="view">
      {runtimes.map(({ n, sched }) => (
        <Section key={n} title={several ? `Scheduler of ${runtimeName(capture, n)}` : 'Scheduler'}>
          <dl class="facts across">
            <Fact name="Global run queue">{withThousands(sched.runqsize)}</Fact>
            <Fact name="Local run queues">
              {withThousands(ps.filter(({ runtime }) => runtime === n).reduce((sum, p) => sum + p.runqsize, 0))}
            </Fact>
            <Fact name="Idle Ps">{sched.npidle}</Fact>
            <Fact name="Idle Ms">{sched.nmidle}</Fact>
            <Fact name="Spinning Ms">{sched.nmspinning}</Fact>
            <Fact name="Garbage collection">{printable(sched.gcPhase ?? 'not known')}</Fact>
          </dl>
        </Section>
      ))}
      <Section title="Ps">
        <PlainTable
          label="The Ps"
          heads={[
            'P',
            'Status',
            'M',
            'Run queue',
            'schedtick',
            'syscalltick',
            'Runs since',
            ...(several ? ['Runtime'] : []),
          ]}
          rows={ps.map((p) => [
            p.id,
            <span class={`state state-${p.status}`}>{p.status}</span>,
            p.m === null ? '–' : `M${p.m}`,
            withThousands(p.runqsize),
            withThousands(p.schedtick),
            withThousands(p.syscalltick),
            p.sinceScheduledNs === null ? '–' : duration(p.sinceScheduledNs),
            ...(several ? [runtimeName(capture, p.runtime)] : []),
          ])}
        />
      </Section>
      <Section title="Threads">
        <ul class="threads">
          {threads.slice(0, SHOWN).map((thread, i) => (
            <li key={i}>
              <details>
                <summary>
                  <strong>{thread.m === null ? 'no M' : `M${thread.m}`}</strong> thread {thread.tid}{' '}
                  <span class="dim">
                    {printable(thread.name)} {printable(thread.state)}
                  </span>{' '}
                  <span class="func">{capture.tables.place((thread.frames[0] ?? -2) >> 1)?.func ?? ''}</span>
                </summary>
                {thread.goid !== null && (
                  <p>
                    Runs goroutine <GoroutineLink {...props} goid={thread.goid} runtime={thread.runtime ?? 1} />
                  </p>
                )}
                <StackView
                  lines={capture.tables.linesOf(thread.frames, -1)}
                  truncated={printable(thread.truncated ?? '')}
                />
              </details>
            </li>
          ))}
        </ul>
        {threads.length > SHOWN && (
          <p class="dim">{withThousands(threads.length - SHOWN)} more threads: `gospy threads` lists them.</p>
        )}
      </Section>
    </div>
  );
}
