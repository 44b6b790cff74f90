import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type { Finding } from '../../analyze/report/model.js';
import { duration, printable, withThousands } from '../render/text.js';
import { age, percent } from './format.js';
import { groupRows } from './groups.js';
import { Fact, GoroutineLink, GoroutineLinks, PlainTable, runtimeName, Section, type ViewProps } from './parts.js';
import { href, type View } from './route.js';

/** Statuses in the order in which they are counted. */
const STATUSES = ['running', 'runnable', 'syscall', 'waiting', 'leaked', 'preempted', 'copystack', 'idle'] as const;
/** Places that are listed. */
const GROUPS_SHOWN = 8;
/** The view that shows more of a finding. */
const DETAILS: Readonly<Record<Finding['code'], { readonly view: View; readonly by: string }>> = {
  deadlock: { view: 'waits', by: '' },
  'lock-waiters': { view: 'waits', by: '' },
  leaked: { view: 'leaks', by: '' },
  'equal-stacks': { view: 'groups', by: 'stack' },
  'shared-wait': { view: 'groups', by: 'wait' },
  'all-in-syscalls': { view: 'scheduler', by: '' },
  'long-run-queues': { view: 'scheduler', by: '' },
  'long-run': { view: 'scheduler', by: '' },
};
/** Warnings that are listed at once. */
const WARNINGS_SHOWN = 50;

/** The overview: what to look at first, how many goroutines do what, and what was captured how. */
export function Overview(props: ViewProps): JSX.Element {
  const { capture, side } = props;
  const { summary, warnings } = capture.data;
  const { target, goroutines, findings, longestWaits, threads } = summary;
  const largest = useMemo(() => {
    const own = capture.rows().filter((row) => !capture.has(row, 'system'));
    return groupRows(capture, own, 'user');
  }, [capture]);
  return (
    <div class="view">
      <div class="columns">
        {target.crash !== null && (
          <p class="finding crash">
            Crashed: {printable(target.crash.signal)}
            {target.crash.addr === null ? '' : ` at ${target.crash.addr}`}
            {target.crash.goid === null ? '' : ' in goroutine '}
            {target.crash.goid !== null && (
              <GoroutineLink {...props} goid={target.crash.goid} runtime={target.crash.runtime ?? 1} />
            )}
          </p>
        )}
        <Section title="Look here first">
          {findings.length === 0 && (
            <p class="dim">Nothing stands out: no deadlock, no lock that many wait for, no run queue that is long.</p>
          )}
          <ul class="findings">
            {findings.map((finding, i) => (
              <li key={i} class={`finding finding-${finding.code}`}>
                <p>
                  {printable(finding.message)}{' '}
                  <a href={href(DETAILS[finding.code].view, { by: DETAILS[finding.code].by, side })}>Details</a>
                </p>
                {finding.goids.length > 0 && (
                  <p class="small">
                    Goroutines{' '}
                    <GoroutineLinks {...props} goids={finding.goids} runtime={finding.runtime} total={finding.count} />
                  </p>
                )}
              </li>
            ))}
          </ul>
        </Section>
        <Section title={`${withThousands(goroutines.total)} goroutines`}>
          <ul class="bars">
            {STATUSES.filter((status) => goroutines[status] > 0).map((status) => (
              <li key={status}>
                <a href={href('goroutines', { q: status, side })}>{status}</a>
                <span class="bar" aria-hidden="true">
                  <span
                    class={`fill fill-${status}`}
                    style={{ width: percent(goroutines[status], goroutines.total).replace(' ', '') }}
                  />
                </span>
                <span class="numeric">{withThousands(goroutines[status])}</span>
              </li>
            ))}
          </ul>
          <p class="small dim">
            {withThousands(goroutines.system)} of them are the runtime’s own. {withThousands(threads.total)} threads:{' '}
            {withThousands(threads.running)} running, {withThousands(threads.sleeping)} sleeping.
          </p>
        </Section>
        <Section title="Where most of them are">
          <ul class="bars groups">
            {largest.slice(0, GROUPS_SHOWN).map(({ id, title, detail, rows }) => (
              <li key={id}>
                <span class="numeric">{withThousands(rows.length)}</span>
                <a
                  class="func"
                  href={href('groups', { by: 'user', group: id, own: 'no', side })}
                  title={`${title}\n${detail}`}
                >
                  {title}
                </a>
              </li>
            ))}
          </ul>
          <p class="small dim">By the innermost place outside the runtime; without the runtime’s own goroutines.</p>
        </Section>
        {longestWaits.length > 0 && (
          <Section title="Longest waits">
            <PlainTable
              label="Longest waits"
              heads={['Goroutine', 'For', 'At least', 'Function']}
              rows={longestWaits.map(({ goid, runtime, waitSinceNs, waitReason, entry }) => [
                <GoroutineLink {...props} goid={goid} runtime={runtime} />,
                printable(waitReason ?? '–'),
                age(waitSinceNs),
                <span class="func">{printable(entry?.func ?? '–')}</span>,
              ])}
            />
          </Section>
        )}
        <Section title="The capture">
          <dl class="facts">
            <Fact name="Program">{printable(target.bin)}</Fact>
            {target.executable !== target.bin && <Fact name="Loaded by">{printable(target.executable)}</Fact>}
            <Fact name="Process">{target.pid}</Fact>
            <Fact name="Go">
              {printable(target.goVersion)}, {target.arch}, GOMAXPROCS {target.gomaxprocs}
            </Fact>
            <Fact name="Captured">{target.capturedAt === null ? 'not known when' : printable(target.capturedAt)}</Fact>
            <Fact name="How">
              {printable(target.mode)}
              {target.pauseNs === null ? '' : `, the process stood still for ${duration(target.pauseNs)}`}
            </Fact>
            {summary.runtimes.map(({ n, file, goVersion, buildId, goroutines: count }) => (
              <Fact key={n} name={summary.runtimes.length === 1 ? 'Build id' : `Runtime ${n}`}>
                {summary.runtimes.length === 1
                  ? printable(buildId ?? 'none')
                  : `${printable(file)}, Go ${printable(goVersion)}, ${withThousands(count)} goroutines`}
              </Fact>
            ))}
          </dl>
        </Section>
        <Section title={warnings.length === 0 ? 'No warnings' : `${withThousands(warnings.length)} warnings`}>
          <ul class="warnings">
            {warnings.slice(0, WARNINGS_SHOWN).map(({ code, goid, runtime, message }, i) => (
              <li key={i}>
                <code>{printable(code)}</code>{' '}
                {goid !== undefined && (
                  <>
                    goroutine <GoroutineLink {...props} goid={goid} runtime={runtime ?? 1} />:{' '}
                  </>
                )}
                {runtime !== undefined && !capture.isOneRuntime && `runtime ${runtimeName(capture, runtime)}: `}
                {printable(message)}
              </li>
            ))}
          </ul>
          {warnings.length > WARNINGS_SHOWN && (
            <p class="dim">
              {withThousands(warnings.length - WARNINGS_SHOWN)} more: `gospy goroutines --json` has them all.
            </p>
          )}
        </Section>
      </div>
    </div>
  );
}
