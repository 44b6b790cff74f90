import type { Capture } from './capture.js';

/** A function in a chain of calls, and how many goroutines are in it. */
export interface FlameNode {
  /** The number of the function's name; -1 for all goroutines. */
  readonly func: number;
  readonly depth: number;
  readonly parent: FlameNode | null;
  count: number;
  /** The one with most goroutines first. */
  children: FlameNode[];
  /** Goroutines before it in the row of its parent, from the left end of all. */
  start: number;
  /** Whether it is the runtime's, or waits for the program outside of it. */
  inner: boolean;
}

/** The calls of the goroutines of rows, from their functions inwards. */
export function flameTree(capture: Capture, rows: readonly number[]): FlameNode {
  const counts = new Map<number, number>();
  for (const row of rows) {
    const stack = capture.data.goroutines.stack[row] ?? -1;
    counts.set(stack, (counts.get(stack) ?? 0) + 1);
  }
  const root = newNode(-1, null);
  const childrenOf = new Map<FlameNode, Map<number, FlameNode>>();
  for (const [number, count] of counts) {
    const stack = capture.tables.document.stacks[number];
    if (stack === undefined) continue;
    root.count += count;
    let node = root;
    const userAt = stack.frames.findIndex((frame) => frame >> 1 === stack.user);
    for (let i = stack.frames.length - 1; i >= 0; i--) {
      const func = capture.tables.funcOf((stack.frames[i] ?? 0) >> 1);
      let known = childrenOf.get(node);
      if (known === undefined) childrenOf.set(node, (known = new Map<number, FlameNode>()));
      let child = known.get(func);
      if (child === undefined) {
        child = newNode(func, node);
        child.inner = i < userAt;
        known.set(func, child);
        node.children.push(child);
      }
      child.count += count;
      node = child;
    }
  }
  place(root);
  return root;
}

function newNode(func: number, parent: FlameNode | null): FlameNode {
  const depth = parent === null ? 0 : parent.depth + 1;
  return { func, depth, parent, count: 0, children: [], start: 0, inner: false };
}

/** Sorts the children of all nodes and gives them their places. Stacks may be deeper than calls can be. */
function place(root: FlameNode): void {
  const waiting = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    node.children.sort((a, b) => b.count - a.count || a.func - b.func);
    let start = node.start;
    for (const child of node.children) {
      child.start = start;
      start += child.count;
      waiting.push(child);
    }
  }
}

/** A node and those below it, each before its children. */
export function nodesBelow(root: FlameNode): FlameNode[] {
  const nodes: FlameNode[] = [];
  const waiting = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    nodes.push(node);
    for (let i = node.children.length - 1; i >= 0; i--) {
      const child = node.children[i];
      if (child !== undefined) waiting.push(child);
    }
  }
  return nodes;
}

/** The node at the end of a path of child numbers, such as `0.2.0`; the nearest one that exists. */
export function nodeAt(root: FlameNode, path: string): FlameNode {
  let node = root;
  for (const part of path === '' ? [] : path.split('.')) {
    const child = node.children[Number(part)];
    if (child === undefined) return node;
    node = child;
  }
  return node;
}

/** The path that {@link nodeAt} takes. */
export function pathOf(node: FlameNode): string {
  const parts: number[] = [];
  for (let at = node; at.parent !== null; at = at.parent) parts.push(at.parent.children.indexOf(at));
  return parts.reverse().join('.');
}
