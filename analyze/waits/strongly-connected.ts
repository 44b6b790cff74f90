/** A directed graph as lists of successors: those of node `v` are `targets` from `starts[v]` to `starts[v + 1]`. */
export interface Successors {
  readonly starts: Uint32Array;
  readonly targets: Uint32Array;
}

/** Makes the lists of successors of `count` nodes from edges, which keep their order. */
export function successorsOf(count: number, from: ArrayLike<number>, to: ArrayLike<number>): Successors {
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < from.length; i++) {
    const at = (from[i] ?? 0) + 1;
    starts[at] = (starts[at] ?? 0) + 1;
  }
  for (let v = 0; v < count; v++) starts[v + 1] = (starts[v + 1] ?? 0) + (starts[v] ?? 0);
  const next = starts.slice(0, count);
  const targets = new Uint32Array(from.length);
  for (let i = 0; i < from.length; i++) {
    const v = from[i] ?? 0;
    const at = next[v] ?? 0;
    next[v] = at + 1;
    targets[at] = to[i] ?? 0;
  }
  return { starts, targets };
}

/**
 * The strongly connected components of two nodes or more. Follows only the edges that `follows` allows. Tarjan's algorithm without recursion: chains may be as long as there are nodes.
 */
export function* cyclicComponents(
  { starts, targets }: Successors,
  follows: (from: number, to: number) => boolean,
): Iterable<number[]> {
  const count = starts.length - 1;
  /** When a node was come across, from 1 on; the earliest of those that it leads to. */
  const found = new Uint32Array(count);
  const low = new Uint32Array(count);
  const isOpen = new Uint8Array(count);
  /** Where each node of the path is in its list of successors. */
  const cursor = starts.slice(0, count);
  const open: number[] = [];
  const path: number[] = [];
  let time = 0;
  const enter = (v: number): void => {
    found[v] = low[v] = ++time;
    isOpen[v] = 1;
    open.push(v);
    path.push(v);
  };
  const lower = (v: number, to: number): void => {
    if (to < (low[v] ?? 0)) low[v] = to;
  };
  for (let root = 0; root < count; root++) {
    if (found[root] !== 0) continue;
    enter(root);
    for (let v = path.at(-1); v !== undefined; v = path.at(-1)) {
      const at = cursor[v] ?? 0;
      if (at < (starts[v + 1] ?? 0)) {
        cursor[v] = at + 1;
        const w = targets[at] ?? 0;
        if (!follows(v, w)) continue;
        if (found[w] === 0) enter(w);
        else if (isOpen[w] === 1) lower(v, found[w] ?? 0);
        continue;
      }
      path.pop();
      const caller = path.at(-1);
      if (caller !== undefined) lower(caller, low[v] ?? 0);
      if (low[v] !== found[v]) continue;
      const component = open.splice(open.lastIndexOf(v));
      for (const w of component) isOpen[w] = 0;
      if (component.length > 1) yield component;
    }
  }
}
