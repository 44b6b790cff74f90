import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { withThousands } from '../render/text.js';
import type { Capture, Place, StackLine } from './capture.js';
import { shortFile, shortFunc } from './format.js';
import { href, type Navigation } from './route.js';

/** What every view needs. */
export interface ViewProps {
  readonly capture: Capture;
  /** `a` where the earlier of two captures is shown, else empty. */
  readonly side: string;
}

/** What a view of the goroutines that match needs. */
export interface RowsProps extends ViewProps {
  readonly rows: readonly number[];
  readonly navigation: Navigation;
}

/** The address of a goroutine. */
export function hrefOf({ capture, side }: ViewProps, goid: number, runtime: number): string {
  return href('goroutines', { g: String(goid), r: capture.isOneRuntime ? '' : String(runtime), side });
}

/** A link to a goroutine; plain text where it is not in the page. */
export function GoroutineLink({
  capture,
  side,
  goid,
  runtime,
}: ViewProps & { goid: number; runtime: number }): JSX.Element {
  if (capture.row(goid, runtime) < 0) return <span class="goid">{goid}</span>;
  return (
    <a class="goid" href={hrefOf({ capture, side }, goid, runtime)}>
      {goid}
    </a>
  );
}

/** Goroutines by their ids, at most ten of them. */
export function GoroutineLinks(
  props: ViewProps & { goids: readonly number[]; runtime: number; total: number },
): JSX.Element {
  const { goids, total, ...rest } = props;
  const shown = goids.slice(0, 10);
  return (
    <span class="goids">
      {shown.map((goid) => (
        <span key={goid}>
          <GoroutineLink {...rest} goid={goid} />{' '}
        </span>
      ))}
      {total > shown.length && <span class="dim">and {withThousands(total - shown.length)} more</span>}
    </span>
  );
}

/** A function with its file, on one line that may be cut: the whole of it is shown when pointed at. */
export function PlaceText({ place }: { place: Place | null }): JSX.Element {
  if (place === null) return <span class="dim">–</span>;
  return (
    <span class="place" title={`${place.func}\n${place.file}`}>
      <span class="func">{shortFunc(place.func)}</span> <span class="file">{shortFile(place.file)}</span>
    </span>
  );
}

/** A state with a colour of its own; the word says it all. */
export function State({ status, text }: { status: string; text: string }): JSX.Element {
  return <span class={`state state-${status}`}>{text}</span>;
}

/** Lines of a stack, innermost first. */
export function StackView({ lines, truncated }: { lines: readonly StackLine[]; truncated: string }): JSX.Element {
  return (
    <div class="stack">
      <ol>
        {lines.map((line, i) => (
          <li key={i} class={line.inner ? 'inner' : ''}>
            <span class="func">{line.func}</span>
            {line.inlined && <span class="tag">inlined</span>}
            <span class="file">{line.file}</span>
          </li>
        ))}
      </ol>
      {lines.length === 0 && <p class="dim">No frames.</p>}
      {truncated !== '' && <p class="warning">The stack ends early: {truncated}</p>}
    </div>
  );
}

/** A name with a value. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Section({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** What is open beside a list. It gets the focus whenever `of` changes; Escape closes it and goes back to the list. */
export function Detail({
  title,
  of,
  onClose,
  children,
}: {
  title: string;
  of: string;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [of]);
  const close = (): void => {
    document.querySelector<HTMLElement>('.list .grid')?.focus();
    onClose();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') close();
  };
  return (
    <aside class="detail" aria-label={title} tabIndex={-1} onKeyDown={onKeyDown}>
      <div class="detail-head">
        <h2 tabIndex={-1} ref={heading}>
          {title}
        </h2>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      {children}
    </aside>
  );
}

/** A table that is short enough to be drawn whole. */
export function PlainTable({
  label,
  heads,
  rows,
}: {
  label: string;
  heads: readonly string[];
  rows: readonly (readonly ComponentChildren[])[];
}): JSX.Element {
  return (
    <div class="scrolls" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, i) => (
            <tr key={i}>
              {cells.map((cell, j) => (
                <td key={j}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `2 libsh.so`, where a process has several runtimes. */
export function runtimeName(capture: Capture, n: number | null): string {
  const found = capture.data.summary.runtimes.find((runtime) => runtime.n === n);
  return found === undefined ? '' : `${found.n} ${shortFile(found.file)}`;
}
