import type { JSX } from 'preact';
import { printable, withThousands } from '../render/text.js';
import type { PageAlive, PageLeak } from './document.js';
import { age } from './format.js';
import { Fact, GoroutineLinks, PlaceText, Section, type ViewProps } from './parts.js';

/** Groups that are shown. */
const SHOWN = 100;

const TITLES: Readonly<Record<PageLeak['verdict'], string>> = {
  proved: 'leaked',
  growing: 'more and more',
  suspect: 'may be leaked',
};

/** Goroutines that nothing can ever wake, or that may be leaked; and, where that was proved, many that are not. */
export function Leaks(props: ViewProps): JSX.Element {
  const { proof, groups, alive } = props.capture.data.leaks;
  const more = Math.max(0, groups.length - SHOWN) + Math.max(0, alive.length - SHOWN);
  return (
    <div class="view">
      <div class="columns">
        <p class="note">
          {proof === null
            ? 'No proof was taken: these are suspicions. `gospy capture --leaks` proves which goroutines nothing can ever wake.'
            : 'Proved by marking all that anything that runs can reach.'}
        </p>
        {groups.length === 0 && <p>No goroutine is known to be leaked.</p>}
        {groups.slice(0, SHOWN).map((group, i) => (
          <LeakGroup key={i} {...props} group={group} title={TITLES[group.verdict]} />
        ))}
        {alive.slice(0, SHOWN).map((group, i) => (
          <LeakGroup key={i} {...props} group={group} title="blocked, not leaked" />
        ))}
        {more > 0 && <p class="dim">{withThousands(more)} more groups: `gospy leaks` lists them.</p>}
      </div>
    </div>
  );
}

function LeakGroup({ group, title, ...props }: ViewProps & { group: PageAlive; title: string }): JSX.Element {
  const { tables } = props.capture;
  return (
    <Section title={`${withThousands(group.count)} ${title}`}>
      <dl class="facts">
        <Fact name="Where">
          <PlaceText place={tables.place(group.loc)} />
        </Fact>
        <Fact name="Waits for">{printable(group.waitReason ?? '–')}</Fact>
        <Fact name="Made by">
          <PlaceText place={tables.place(group.creator)} />
        </Fact>
        {group.ageNs !== null && <Fact name="Longest">{age(group.ageNs)} or longer</Fact>}
        <Fact name="Why">{group.evidence.map(({ message }) => printable(message)).join('; ')}</Fact>
        <Fact name="Goroutines">
          <GoroutineLinks {...props} goids={group.goids} runtime={group.runtime} total={group.count} />
        </Fact>
      </dl>
    </Section>
  );
}
