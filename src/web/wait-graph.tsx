import { Graph, layout } from '@dagrejs/dagre';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { withThousands } from '../render/text.js';
import type { PageWaitEdge } from './document.js';
import { shortFunc } from './format.js';
import { hrefOf, type ViewProps } from './parts.js';

/** Edges that are drawn: a graph of more cannot be read. */
const MAX_DRAWN = 40;
/** Goroutines that wait for the same and are drawn one by one. */
const MAX_WAITERS = 3;
const NODE = { width: 170, height: 40 };
/** Letters of a function's name that fit in a node. */
const LETTERS = 24;

interface DrawnNode {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly link: string | null;
  readonly inCycle: boolean;
  readonly x: number;
  readonly y: number;
}

interface DrawnEdge {
  readonly edge: PageWaitEdge;
  readonly points: string;
}

/** Who waits for whom, drawn from the top down: those that wait stand above what they wait for. */
export function WaitGraph(props: ViewProps & { edges: readonly PageWaitEdge[] }): JSX.Element {
  const { edges } = props;
  const drawing = useMemo(() => layOut(props), [edges]);
  return (
    <div
      class="scrolls graph"
      tabIndex={0}
      role="group"
      aria-label="Graph of who waits for whom; the table below says the same"
    >
      <svg
        width={drawing.width}
        height={drawing.height}
        viewBox={`0 0 ${drawing.width} ${drawing.height}`}
        role="group"
        aria-label="Graph"
      >
        <defs>
          <marker
            id="arrow"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="8"
            markerHeight="8"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path d="M0 0L8 4L0 8z" class="arrow" />
          </marker>
        </defs>
        {drawing.edges.map(({ edge, points }, i) => (
          <polyline
            key={i}
            points={points}
            class={`edge ${edge.strength}${edge.inCycle ? ' cycle' : ''}`}
            marker-end="url(#arrow)"
          />
        ))}
        {drawing.nodes.map((node) => (
          <Node key={node.id} {...node} />
        ))}
      </svg>
    </div>
  );
}

function Node({ title, text, link, inCycle, x, y }: DrawnNode): JSX.Element {
  const box = (
    <g transform={`translate(${x - NODE.width / 2} ${y - NODE.height / 2})`} class={`node${inCycle ? ' cycle' : ''}`}>
      <title>{text}</title>
      <rect width={NODE.width} height={NODE.height} rx="4" />
      <text x={8} y={16} class="title">
        {title}
      </text>
      <text x={8} y={32}>
        {text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text}
      </text>
    </g>
  );
  return link === null ? box : <a href={link}>{box}</a>;
}

interface Box {
  readonly x: number;
  readonly y: number;
}

function layOut({ capture, side, edges }: ViewProps & { edges: readonly PageWaitEdge[] }): {
  width: number;
  height: number;
  nodes: DrawnNode[];
  edges: DrawnEdge[];
} {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'TB', nodesep: 16, ranksep: 36, marginx: 8, marginy: 8 });
  const nodes = new Map<string, Omit<DrawnNode, 'x' | 'y'>>();
  const addGoroutine = (goid: number, runtime: number, inCycle: boolean): string => {
    const id = `${runtime}.${goid}`;
    const row = capture.row(goid, runtime);
    const place = row < 0 ? null : (capture.entry(row) ?? capture.user(row));
    const link = row < 0 ? null : hrefOf({ capture, side }, goid, runtime);
    const known = nodes.get(id)?.inCycle === true;
    nodes.set(id, {
      ...{ id, title: `goroutine ${goid}`, text: place === null ? '' : shortFunc(place.func), link },
      inCycle: inCycle || known,
    });
    graph.setNode(id, { ...NODE });
    return id;
  };
  const drawn: { edge: PageWaitEdge; from: string; to: string; name: string }[] = [];
  edges.slice(0, MAX_DRAWN).forEach((edge, i) => {
    const to = addGoroutine(edge.to, edge.runtime, edge.inCycle);
    const single = edge.inCycle ? edge.from : edge.from.slice(0, edge.count > MAX_WAITERS ? 1 : MAX_WAITERS);
    const from = single.map((goid) => addGoroutine(goid, edge.runtime, edge.inCycle));
    const more = edge.count - from.length;
    if (more > 0) {
      const id = `more ${i}`;
      nodes.set(id, {
        id,
        title: `${withThousands(more)} more`,
        text: 'wait for the same',
        link: null,
        inCycle: false,
      });
      graph.setNode(id, { ...NODE });
      from.push(id);
    }
    from.forEach((id, j) => {
      const name = `${i} ${j}`;
      graph.setEdge(id, to, {}, name);
      drawn.push({ edge, from: id, to, name });
    });
  });
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    ...{ width: Math.ceil(width), height: Math.ceil(height) },
    nodes: [...nodes.values()].map((node) => ({ ...node, ...(graph.node(node.id) as Box) })),
    edges: drawn.map(({ edge, from, to, name }) => {
      const { points } = graph.edge(from, to, name) as { points: readonly Box[] };
      return { edge, points: points.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ') };
    }),
  };
}
