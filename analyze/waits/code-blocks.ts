import type { Instruction } from './instruction.js';

/** A run of instructions that is entered at its first only, and left at its last. */
export interface Block {
  /** Offsets in the code: of the first instruction, and behind the last. */
  readonly start: number;
  readonly end: number;
  /** Where control may go on, by the offsets of blocks: the next one first, then where the branch leads. */
  readonly next: number | null;
  readonly taken: readonly number[];
}

/** Blocks by their start, ascending. */
export type Blocks = ReadonlyMap<number, Block>;

/** What is known of a function's code besides its bytes. Offsets are in the code. */
export interface CodeFacts {
  /** True where the call at an offset, of what lies at another, never returns. */
  readonly isLast: (target: number) => boolean;
  /** Where a jump by the table at an address may lead; null where that is not known. */
  readonly casesAt: (table: number) => readonly number[] | null;
}

const MAX_BLOCKS = 8192;

/**
 * The blocks of a function that control reaches from its entry; `instruction` decodes its code. null where an instruction is not known, a jump leads into
 * the middle of one, or nothing tells where it leads: then nothing is said of the whole function.
 */
export function blocksOf(code: DataView, instruction: Instruction, facts: CodeFacts): Blocks | null {
  const size = code.byteLength;
  /** 1 where an instruction begins, 2 in the rest of it. */
  const seen = new Uint8Array(size);
  const leaders = new Set<number>([0]);
  /** By the offset of the last instruction of a run: where it ends, and where control goes on. */
  const ends = new Map<
    number,
    { readonly end: number; readonly next: number | null; readonly taken: readonly number[] }
  >();
  const waiting = [0];
  for (let from = waiting.pop(); from !== undefined; from = waiting.pop()) {
    let table: number | null = null;
    for (let at = from; seen[at] !== 1;) {
      if (seen[at] === 2 || !instruction.decode(code, at) || instruction.end > size) return null;
      const { end, flow, target } = instruction;
      seen.fill(2, at, end);
      seen[at] = 1;
      table = instruction.named ?? table;
      const falls =
        flow === 'next' || flow === 'branch' || (flow === 'call' && !facts.isLast(target)) || flow === 'call-indirect';
      let taken: readonly number[] = [];
      if (flow === 'branch') taken = [target];
      // A jump to another function ends this one.
      else if (flow === 'jump' && target >= 0 && target < size) taken = [target];
      else if (flow === 'jump-indirect') {
        const targets = table !== null && instruction.isTableJump ? facts.casesAt(table) : null;
        if (targets === null) return null;
        taken = targets;
      }
      if (taken.some((to) => to < 0 || to >= size) || (falls && end >= size)) return null;
      if (!falls || taken.length > 0) {
        ends.set(at, { end, next: falls ? end : null, taken });
        for (const to of falls ? [end, ...taken] : taken) {
          leaders.add(to);
          waiting.push(to);
        }
        if (leaders.size > MAX_BLOCKS) return null;
        break;
      }
      at = end;
    }
  }
  return cut(seen, leaders, ends);
}

function cut(
  seen: Uint8Array,
  leaders: ReadonlySet<number>,
  ends: ReadonlyMap<number, { readonly end: number; readonly next: number | null; readonly taken: readonly number[] }>,
): Blocks | null {
  const blocks = new Map<number, Block>();
  for (const start of [...leaders].sort((a, b) => a - b)) {
    if (seen[start] !== 1) return null;
    for (let at = start; ;) {
      const last = ends.get(at);
      if (last !== undefined) {
        blocks.set(start, { start, ...last });
        break;
      }
      do at++;
      while (seen[at] === 2);
      if (seen[at] !== 1) return null;
      if (leaders.has(at)) {
        blocks.set(start, { start, end: at, next: at, taken: [] });
        break;
      }
    }
  }
  return blocks;
}

/** Where control may go on from a block. */
export function successors({ next, taken }: Block): number[] {
  return next === null ? [...taken] : [next, ...taken];
}

/** The blocks in reverse postorder: each behind those from which control comes to it, but for the ways back in loops. */
export function inOrder(blocks: Blocks): Block[] {
  const entry = blocks.get(0);
  const seen = new Set([entry]);
  const done: Block[] = [];
  const path = entry === undefined ? [] : [{ block: entry, left: successors(entry) }];
  for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
    const to = last.left.pop();
    const block = to === undefined ? undefined : blocks.get(to);
    if (to === undefined) {
      done.push(last.block);
      path.pop();
    } else if (block !== undefined && !seen.has(block)) {
      seen.add(block);
      path.push({ block, left: successors(block) });
    }
  }
  return done.reverse();
}

/** The code that control may come to from an offset on: parts of blocks. */
export function* aheadOf(blocks: Blocks, offset: number): Iterable<{ readonly from: number; readonly to: number }> {
  const first = [...blocks.values()].find(({ start, end }) => offset > start && offset <= end);
  if (first === undefined) return;
  yield { from: offset, to: first.end };
  const seen = new Set<number>();
  const waiting = successors(first);
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const block = seen.has(at) ? undefined : blocks.get(at);
    if (block === undefined) continue;
    seen.add(at);
    yield { from: block.start, to: block.end };
    waiting.push(...successors(block));
  }
}

/**
 * Whether control may come from an offset to the end of one of some calls, without the end of one of others before it: of a call at
 * the offset itself, that is behind it. All are named by where they return to.
 */
export function reaches(blocks: Blocks, from: number, goals: ReadonlySet<number>, stops: ReadonlySet<number>): boolean {
  const all = [...blocks.values()];
  const first = all.find(({ start, end }) => from >= start && from < end) ?? all.find(({ end }) => end === from);
  const calls = [...goals, ...stops].sort((a, b) => a - b);
  const seen = new Set<number>();
  const waiting: [block: Block | undefined, from: number][] = [[first, from]];
  for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) {
    const [block, start] = item;
    if (block === undefined) continue;
    const next = calls.find((at) => at > start);
    if (next !== undefined && next <= block.end) {
      if (goals.has(next)) return true;
      continue;
    }
    for (const to of successors(block)) {
      if (seen.has(to)) continue;
      seen.add(to);
      waiting.push([blocks.get(to), to]);
    }
  }
  return false;
}
