import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { sortingOf } from './route.js';

/** A column of a grid. */
export interface Column<T> {
  /** A word for the address of the page, where the grid can be sorted by it. */
  readonly id: string;
  readonly head: string;
  /** As CSS has it: `90px`, `1fr`. */
  readonly width: string;
  readonly numeric?: boolean;
  /** False where a narrow screen has no room for it. */
  readonly narrow?: boolean;
  readonly sorts?: boolean;
  readonly cell: (item: T) => ComponentChildren;
}

interface GridProps<T> {
  readonly label: string;
  readonly columns: readonly Column<T>[];
  readonly items: readonly T[];
  readonly keyOf: (item: T) => string;
  /** A column's id, with `-` before it if descending. */
  readonly sort?: string;
  readonly onSort?: (sort: string) => void;
  readonly selected?: T | null;
  readonly onOpen?: (item: T) => void;
  /** Lines that a row has. */
  readonly lines?: 1 | 2;
}

/** Pixels of a row of one or two lines; page.css knows them too. */
const ROW_HEIGHTS = { 1: 28, 2: 44 } as const;
/** Pixels of the heads of columns, which stay above the rows. */
const HEAD_HEIGHT = 28;
/** Rows that are drawn above and below those that can be seen. */
const MARGIN = 8;
/** Rows that are printed. */
const MAX_PRINTED = 500;

/** A list of any length: only what can be seen is drawn. Arrow keys move in it, Enter opens. */
export function Grid<T>(props: GridProps<T>): JSX.Element {
  const { label, columns, items, keyOf, selected = null, onOpen, lines = 1 } = props;
  const height = ROW_HEIGHTS[lines];
  const body = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const [active, setActive] = useState(0);
  const printing = usePrinting();
  const measure = (): void => {
    const box = body.current;
    if (box !== null) setView({ top: box.scrollTop, height: box.clientHeight - HEAD_HEIGHT });
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    if (body.current !== null) observer.observe(body.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const at = selected === null ? 0 : Math.max(0, items.indexOf(selected));
    setActive(at);
    if (body.current !== null) body.current.scrollTop = reveal(at, height, body.current);
    measure();
  }, [items, selected]);
  const first = printing ? 0 : Math.max(0, Math.floor(view.top / height) - MARGIN);
  const last = printing
    ? Math.min(items.length, MAX_PRINTED)
    : Math.min(items.length, Math.ceil((view.top + view.height) / height) + MARGIN);
  const move = (to: number): void => {
    const at = Math.max(0, Math.min(items.length - 1, to));
    setActive(at);
    if (body.current !== null) body.current.scrollTop = reveal(at, height, body.current);
    measure();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / height) - 1);
    const steps: Record<string, number> = {
      ...{ ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page },
      ...{ Home: 0, End: items.length - 1 },
    };
    const to = Object.hasOwn(steps, event.key) ? steps[event.key] : undefined;
    const item = items[active];
    if (to !== undefined) move(to);
    else if (event.key === 'Enter' && item !== undefined && event.target === body.current) onOpen?.(item);
    else return;
    event.preventDefault();
  };
  const style = {
    '--columns': columns.map(({ width }) => width).join(' '),
    '--narrow-columns': columns.flatMap(({ width, narrow }) => (narrow === false ? [] : [width])).join(' '),
  };
  const idOf = (index: number): string => `${columns[0]?.id ?? ''}-row-${index}`;
  return (
    <div
      class={`grid lines-${lines}`}
      role="grid"
      ref={body}
      aria-label={label}
      aria-description="Arrow keys move, Enter opens"
      aria-rowcount={items.length + 1}
      tabIndex={0}
      aria-activedescendant={active >= first && active < last ? idOf(active) : undefined}
      style={style}
      onScroll={measure}
      onKeyDown={onKeyDown}
    >
      <Heads {...props} />
      <div class="grid-body" role="rowgroup" style={{ height: printing ? 'auto' : `${items.length * height}px` }}>
        {items.slice(first, last).map((item, i) => {
          const index = first + i;
          const key = keyOf(item);
          return (
            <div
              key={key}
              id={idOf(index)}
              role="row"
              class={`row${index === active ? ' active' : ''}${onOpen === undefined ? '' : ' opens'}`}
              aria-rowindex={index + 2}
              aria-selected={item === selected}
              style={printing ? {} : { top: `${index * height}px` }}
              onClick={(event) => {
                setActive(index);
                body.current?.focus({ preventScroll: true });
                // A link in the row goes its own way, and text that is being selected is not a click.
                if (event.target instanceof Element && event.target.closest('a') !== null) return;
                if (getSelection()?.isCollapsed !== false) onOpen?.(item);
              }}
            >
              {columns.map((column) => (
                <div key={column.id} role="gridcell" class={classOf(column)}>
                  {column.cell(item)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
      {items.length === 0 && <p class="empty">Nothing matches.</p>}
      {printing && items.length > MAX_PRINTED && <p>{items.length - MAX_PRINTED} more are not printed.</p>}
    </div>
  );
}

function Heads<T>({ columns, sort = '', onSort }: GridProps<T>): JSX.Element {
  const sorted = sortingOf(sort);
  return (
    <div role="rowgroup" class="grid-head">
      <div role="row" class="row" aria-rowindex={1}>
        {columns.map((column) => {
          const order = sorted.column !== column.id ? 'none' : sorted.descending ? 'descending' : 'ascending';
          const next = order === 'none' ? (column.numeric === true ? '-' : '') : order === 'ascending' ? '-' : '';
          if (column.sorts !== true || onSort === undefined) {
            return (
              <div key={column.id} role="columnheader" class={classOf(column)}>
                {column.head}
              </div>
            );
          }
          return (
            <div key={column.id} role="columnheader" aria-sort={order} class={classOf(column)}>
              <button type="button" class="sort" onClick={() => onSort(next + column.id)}>
                {column.head}
                <span aria-hidden="true">{order === 'none' ? '' : order === 'ascending' ? ' ▲' : ' ▼'}</span>
              </button>
            </div>
          );
        })}
      </div>
    </div>
  );
}

function classOf<T>({ numeric, narrow }: Column<T>): string {
  return `cell${numeric === true ? ' numeric' : ''}${narrow === false ? ' wide-only' : ''}`;
}

/** Where to scroll so that a row can be seen. */
function reveal(index: number, height: number, { scrollTop, clientHeight }: HTMLElement): number {
  const top = index * height;
  if (top < scrollTop) return top;
  const bottom = top + height + HEAD_HEIGHT;
  return bottom > scrollTop + clientHeight ? bottom - clientHeight : scrollTop;
}

/** True while the page is printed. */
function usePrinting(): boolean {
  const [printing, setPrinting] = useState(() => matchMedia('print').matches);
  useEffect(() => {
    const media = matchMedia('print');
    const update = (): void => setPrinting(media.matches);
    media.addEventListener('change', update);
    return () => media.removeEventListener('change', update);
  }, []);
  return printing;
}
