import type { JSX } from 'preact';
import type { WaitCycle } from '../../analyze/report/wait-documents.js';
import { printable, withThousands } from '../render/text.js';
import { age } from './format.js';
import { GoroutineLink, GoroutineLinks, PlainTable, Section, type ViewProps } from './parts.js';
import { WaitGraph } from './wait-graph.js';

/** Entries of a list that are shown. */
const SHOWN = 100;

/** Who waits for whom: deadlocks first, then what goroutines wait on, then what chains of waits end at. */
export function Waits(props: ViewProps): JSX.Element {
  const { cycles, cyclesMore, things, thingsMore, chains, chainsMore, ends, graph } = props.capture.data.waits;
  const next = ends.nextDueNs;
  return (
    <div class="view">
      <Section
        title={cycles.length === 0 ? 'No deadlock' : cycles.some(isCertain) ? 'Deadlocks' : 'Possible deadlocks'}
      >
        {cycles.slice(0, SHOWN).map((cycle, i) => (
          <div key={i} class="finding finding-deadlock">
            <p>
              <strong>{isCertain(cycle) ? 'Deadlock' : 'Possible deadlock'}</strong>
              {cycle.waitSinceNs !== null && `, for ${age(cycle.waitSinceNs)} or longer`}
              {cycle.waiters > 0 && `; ${withThousands(cycle.waiters)} more wait behind it`}
            </p>
            <ol class="plain">
              {cycle.steps.map((step) => (
                <li key={step.goid}>
                  <GoroutineLink {...props} goid={step.goid} runtime={cycle.runtime} />{' '}
                  <span class="func">{printable(step.func)}</span> {printable(step.message)}
                </li>
              ))}
            </ol>
          </div>
        ))}
        <More more={cyclesMore + Math.max(0, cycles.length - SHOWN)} />
      </Section>
      {graph.edges.length > 0 && (
        <Section title="Who waits for whom">
          <WaitGraph {...props} edges={graph.edges} />
          <PlainTable
            label="Who waits for whom"
            heads={['Waiting', 'First of them', 'For', 'How sure', 'Why']}
            rows={graph.edges
              .slice(0, SHOWN)
              .map(({ count, from, to, runtime, strength, message }) => [
                withThousands(count),
                <GoroutineLinks
                  {...props}
                  goids={from.slice(0, 4)}
                  runtime={runtime}
                  total={Math.min(4, from.length)}
                />,
                <GoroutineLink {...props} goid={to} runtime={runtime} />,
                strength,
                printable(message),
              ])}
          />
          <More more={graph.more + Math.max(0, graph.edges.length - SHOWN)} />
        </Section>
      )}
      {things.length > 0 && (
        <Section title="What goroutines wait on">
          <ul class="lines">
            {things.slice(0, SHOWN).map(({ message, holders, runtime }, i) => (
              <li key={i}>
                {printable(message)}{' '}
                {holders.length > 0 && (
                  <GoroutineLinks {...props} goids={holders} runtime={runtime} total={holders.length} />
                )}
              </li>
            ))}
          </ul>
          <More more={thingsMore + Math.max(0, things.length - SHOWN)} />
        </Section>
      )}
      {chains.length > 0 && (
        <Section title="What chains of waits end at">
          <ul class="lines">
            {chains.slice(0, SHOWN).map(({ message, goid, runtime }, i) => (
              <li key={i}>
                {printable(message)} {goid !== undefined && <GoroutineLink {...props} goid={goid} runtime={runtime} />}
              </li>
            ))}
          </ul>
          <More more={chainsMore + Math.max(0, chains.length - SHOWN)} />
        </Section>
      )}
      <Section title="What ends by itself">
        <p>
          {withThousands(ends.io)} goroutines wait for IO, {withThousands(ends.timers)} for a timer
          {next !== null && next >= 0 && `; the next one fires in ${age(next)}`}.
        </p>
      </Section>
    </div>
  );
}

function isCertain({ strength }: WaitCycle): boolean {
  return strength === 'exact' || strength === 'strong';
}

function More({ more }: { more: number }): JSX.Element | null {
  return more === 0 ? null : <p class="dim">{withThousands(more)} more: `gospy waits` lists them.</p>;
}
