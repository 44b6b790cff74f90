import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { withThousands } from '../render/text.js';
import { flameTree, nodeAt, nodesBelow, pathOf, type FlameNode } from './flame-tree.js';
import { percent, shortFunc } from './format.js';
import { Grid, type Column } from './grid.js';
import type { RowsProps } from './parts.js';

/** Pixels of a row. */
const ROW = 20;
/** Rows below the node that fills the width: what is deeper is seen by zooming in. */
const MAX_ROWS = 64;
/** Rectangles that are narrower cannot be seen. */
const MIN_WIDTH = 0.5;
/** Narrower ones have no text. */
const MIN_TEXT = 28;

/** Where goroutines are: a function lies below the one that called it, and is as wide as many goroutines are in it. */
export function Flame({ rows, navigation, ...props }: RowsProps): JSX.Element {
  const { capture } = props;
  const { route, change } = navigation;
  const root = useMemo(() => flameTree(capture, rows), [capture, rows]);
  const zoomed = nodeAt(root, route.params.at);
  const [active, setActive] = useState<FlameNode>(zoomed);
  const shown = isBelow(active, zoomed) ? active : zoomed;
  const nameOf = ({ func }: FlameNode): string => (func < 0 ? 'all goroutines' : capture.tables.text(func));
  const zoom = (node: FlameNode): void => {
    setActive(node);
    change({ at: pathOf(node) });
  };
  const describe = (node: FlameNode): string =>
    `${nameOf(node)}: ${withThousands(node.count)} goroutines, ${percent(node.count, root.count)} of all shown`;
  return (
    <div class="view flame">
      <p class="note">
        <span class="chain">
          {chainOf(zoomed).map((node) => (
            <button key={node.depth} type="button" disabled={node === zoomed} onClick={() => zoom(node)}>
              {node.func < 0 ? 'all' : shortFunc(nameOf(node))}
            </button>
          ))}
        </span>
      </p>
      <Canvas root={root} zoomed={zoomed} active={shown} nameOf={nameOf} onActive={setActive} onZoom={zoom} />
      <p class="note status" role="status">
        {describe(shown)}
      </p>
      <h2>The same numbers as a table</h2>
      <FlameTable zoomed={zoomed} all={root.count} nameOf={nameOf} onZoom={zoom} />
    </div>
  );
}

function chainOf(node: FlameNode): FlameNode[] {
  return node.parent === null ? [node] : [...chainOf(node.parent), node];
}

function isBelow(node: FlameNode, top: FlameNode): boolean {
  for (let at: FlameNode | null = node; at !== null; at = at.parent) if (at === top) return true;
  return false;
}

interface CanvasProps {
  readonly root: FlameNode;
  readonly zoomed: FlameNode;
  readonly active: FlameNode;
  readonly nameOf: (node: FlameNode) => string;
  readonly onActive: (node: FlameNode) => void;
  readonly onZoom: (node: FlameNode) => void;
}

function Canvas({ zoomed, active, nameOf, onActive, onZoom }: CanvasProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(800);
  const isDark = useMedia('screen and (prefers-color-scheme: dark)');
  const drawn = useMemo(() => layOut(zoomed, width), [zoomed, width]);
  const rowCount = drawn.reduce((most, { node }) => Math.max(most, node.depth - zoomed.depth + 1), 1);
  useLayoutEffect(() => {
    const box = canvas.current?.parentElement;
    if (box === null || box === undefined) return;
    const observer = new ResizeObserver(() => setWidth(box.clientWidth));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, { drawn, zoomed, active, width, rowCount, isDark, nameOf });
  });
  const at = (event: MouseEvent): FlameNode | null => {
    const row = Math.floor(event.offsetY / ROW);
    const hit = drawn.find(
      ({ node, x, w }) => node.depth - zoomed.depth === row && event.offsetX >= x && event.offsetX < x + w,
    );
    return hit?.node ?? null;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const next = step(event.key, active, zoomed);
    if (event.key === 'Enter') onZoom(active);
    else if (event.key === 'Escape' && zoomed.parent !== null) onZoom(zoomed.parent);
    else if (next !== null) onActive(next);
    else return;
    event.preventDefault();
  };
  return (
    <div class="canvas">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label="Flame graph: arrow keys move, Enter zooms in, Escape zooms out. The table below has the same numbers."
        style={{ width: `${width}px`, height: `${rowCount * ROW}px` }}
        onKeyDown={onKeyDown}
        onMouseMove={(event) => {
          const node = at(event);
          if (node !== null) onActive(node);
        }}
        onClick={(event) => {
          const node = at(event);
          if (node !== null) onZoom(node === zoomed && node.parent !== null ? node.parent : node);
        }}
      />
    </div>
  );
}

/** The node that a key leads to; null where it leads nowhere. */
function step(key: string, active: FlameNode, zoomed: FlameNode): FlameNode | null {
  if (key === 'ArrowDown') return active.children[0] ?? active;
  if (active === zoomed || active.parent === null) return key.startsWith('Arrow') ? active : null;
  if (key === 'ArrowUp') return active.parent;
  const siblings = active.parent.children;
  const i = siblings.indexOf(active);
  if (key === 'ArrowRight') return siblings[i + 1] ?? active;
  if (key === 'ArrowLeft') return siblings[i - 1] ?? active;
  return null;
}

interface Rectangle {
  readonly node: FlameNode;
  readonly x: number;
  readonly w: number;
}

/** The rectangles that are wide enough to be seen. */
function layOut(zoomed: FlameNode, width: number): Rectangle[] {
  const scale = zoomed.count === 0 ? 0 : width / zoomed.count;
  const all: Rectangle[] = [];
  const waiting = [zoomed];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const w = node.count * scale;
    if (w < MIN_WIDTH || node.depth - zoomed.depth >= MAX_ROWS) continue;
    all.push({ node, x: (node.start - zoomed.start) * scale, w });
    for (const child of node.children) {
      // The largest come first.
      if (child.count * scale < MIN_WIDTH) break;
      waiting.push(child);
    }
  }
  return all;
}

interface Drawing extends Pick<CanvasProps, 'zoomed' | 'active' | 'nameOf'> {
  readonly drawn: readonly Rectangle[];
  readonly width: number;
  readonly rowCount: number;
  readonly isDark: boolean;
}

function draw(canvas: HTMLCanvasElement, { drawn, zoomed, active, width, rowCount, isDark, nameOf }: Drawing): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(rowCount * ROW * ratio);
  context.scale(ratio, ratio);
  context.font = '12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
  context.textBaseline = 'middle';
  // The widths of letters are equal.
  const letter = context.measureText('m').width;
  for (const { node, x, w } of drawn) {
    const y = (node.depth - zoomed.depth) * ROW;
    context.fillStyle = colorOf(node, nameOf(node), isDark);
    context.fillRect(x, y, Math.max(MIN_WIDTH, w - 1), ROW - 1);
    if (node === active) {
      context.strokeStyle = isDark ? '#ffffff' : '#000000';
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, Math.max(1, w - 3), ROW - 3);
    }
    if (w < MIN_TEXT) continue;
    const text = `${shortFunc(nameOf(node))}  ${withThousands(node.count)}`;
    const room = Math.floor((w - 8) / letter);
    context.fillStyle = isDark ? '#f2f2f2' : '#1a1a1a';
    context.fillText(text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`, x + 4, y + ROW / 2);
  }
}

/** Functions of one package have one colour; what is the runtime's is grey. */
function colorOf({ func, inner }: FlameNode, name: string, isDark: boolean): string {
  if (func < 0 || inner || name.startsWith('runtime.')) return isDark ? '#3b4048' : '#d9dce1';
  const end = name.indexOf('.', name.lastIndexOf('/') + 1);
  let hash = 0;
  for (const c of end < 0 ? name : name.slice(0, end)) hash = (hash * 31 + c.charCodeAt(0)) % 9973;
  return `hsl(${(hash * 47) % 360} ${isDark ? '32% 32%' : '58% 80%'})`;
}

/** The node that fills the width and those below it, each before its children. */
function FlameTable({
  zoomed,
  all,
  nameOf,
  onZoom,
}: {
  zoomed: FlameNode;
  all: number;
  nameOf: (node: FlameNode) => string;
  onZoom: (node: FlameNode) => void;
}): JSX.Element {
  const nodes = useMemo(() => nodesBelow(zoomed), [zoomed]);
  const columns: Column<FlameNode>[] = [
    { id: 'count', head: 'Goroutines', width: '96px', numeric: true, cell: ({ count }) => withThousands(count) },
    { id: 'share', head: 'Share', width: '64px', numeric: true, cell: ({ count }) => percent(count, all) },
    { id: 'depth', head: 'Depth', width: '56px', numeric: true, narrow: false, cell: ({ depth }) => depth },
    {
      ...{ id: 'func', head: 'Function', width: 'minmax(160px, 1fr)' },
      cell: (node) => (
        <span
          class="func"
          title={nameOf(node)}
          style={{ paddingLeft: `${Math.min(40, node.depth - zoomed.depth) * 10}px` }}
        >
          {nameOf(node)}
        </span>
      ),
    },
  ];
  return (
    <Grid
      label="Functions and how many goroutines are in them"
      columns={columns}
      items={nodes}
      keyOf={pathOf}
      onOpen={onZoom}
    />
  );
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const update = (): void => setMatches(media.matches);
    media.addEventListener('change', update);
    return () => media.removeEventListener('change', update);
  }, [query]);
  return matches;
}
