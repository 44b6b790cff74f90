import type { G } from '../runtime/goroutine.js';
import { endsBy, EnderSearch, reachedEvidence, type Wanted } from './enders.js';
import { GroupReferences } from './group-references.js';
import type { WaitsOn } from './model.js';
import { PoolSearch } from './pools.js';
import { ReachedCalls } from './reached-calls.js';
import type { Ender, Needs } from './wait-graph.js';
import { goroutinesByStack, type Waits } from './program-waits.js';

/** Candidates of one thing that are kept; if there are more, nobody is thought to be stuck for the lack of them. */
const MAX_CANDIDATES = 256;
/** The same for those who have something out of a pool. */
const MAX_OWNERS = 16;

/** Goroutines that are looked at of those that stand in one place, for what their frames lead to. */
const MAX_LOOKED = 1024;
/** Frames that are looked at. */
const MAX_DEPTH = 256;

/** Finds who may end waits on channels, WaitGroups and Conds, by the frames and the code of all goroutines, in one pass over them. */
export class CandidateSearch {
  readonly #waits: Waits;
  readonly #pools: PoolSearch;
  readonly #pcs = new Float64Array(MAX_DEPTH);
  /** By place where goroutines wait (see {@link PoolSearch}), what they wait on there. */
  readonly #thingsAt: number[][] = [];
  /** By thing, its candidates. */
  readonly #found = new Map<number, Ender[]>();

  constructor(waits: Waits) {
    this.#waits = waits;
    this.#pools = new PoolSearch(waits.program);
  }

  /** Notes that a goroutine waits on a thing. */
  noteWait(g: G, thing: number): void {
    if (this.#waits.graph.needsOf(thing) !== 'any' || this.#waits.things[thing]?.addr === null) return;
    const place = this.#pools.placeOf(g, this.#pcsOf(g));
    const at = (this.#thingsAt[place] ??= []);
    if (at.at(-1) !== thing) at.push(thing);
  }

  /** Adds the candidates to the graph, once all waits are noted. */
  add(): void {
    const { graph, things, program } = this.#waits;
    const wanted: Wanted[] = [];
    const thingOf: number[] = [];
    things.forEach((on, thing) => {
      const want = wantedOf(on);
      // Of a Cond in a lock of the program's own, the holder may be known.
      if (want === null || ['itself', 'holder'].includes(graph.needsOf(thing))) return;
      wanted.push(want);
      thingOf.push(thing);
    });
    if (wanted.length === 0) return;
    const search = new EnderSearch(program, wanted);
    const parents = this.#waitersOfGroups();
    const owners = new Map<number, Ender[]>();
    for (const { g, index } of goroutinesByStack(this.#waits)) {
      const own = graph.thingsOf(index);
      const pcs = this.#pcsOf(g);
      const isOwn = (i: number): boolean => own.some((thing) => things[thing]?.addr === wanted[i]?.addr);
      const isFull = (i: number): boolean => (this.#found.get(thingOf[i] ?? 0)?.length ?? 0) > MAX_CANDIDATES;
      const told = new Set<number>();
      for (const { wanted: i, strength, evidence } of search.of(g, pcs, { isOwn, isFull })) {
        const thing = thingOf[i] ?? 0;
        told.add(thing);
        addTo(this.#found, thing, { goroutine: index, strength, evidence }, MAX_CANDIDATES);
      }
      for (const { place, evidence } of this.#pools.of(pcs))
        addTo(owners, place, { goroutine: index, strength: 'candidate', evidence }, MAX_OWNERS);
      const group = g.parentGoid === null ? undefined : parents.get(g.parentGoid);
      if (group === undefined || told.has(group) || !search.callsDone(g)) continue;
      const message = `goroutine ${g.parentGoid ?? 0}, which waits, started it, and its function calls Done`;
      const evidence = [{ code: 'child-calls-done', message }];
      addTo(this.#found, group, { goroutine: index, strength: 'candidate', evidence }, MAX_CANDIDATES);
    }
    for (const [thing, enders] of this.#found) this.#set([thing], likely(things[thing], enders), MAX_CANDIDATES);
    this.#addReached();
    // No frame refers to a channel that is made for one wait: then who has something out of the pool tells.
    for (const [place, enders] of owners) {
      const waited = [...new Set(this.#thingsAt[place])].filter((thing) => {
        return graph.endersOf(thing).length === 0 && graph.needsOf(thing) === 'any';
      });
      this.#set(waited, enders, MAX_OWNERS);
    }
    this.#addReferences(search);
  }

  /** Adds who comes to end waits on channels and Conds that frames only lead to, where nobody is known who would. */
  #addReached(): void {
    const { graph, things, program } = this.#waits;
    const wanted = new Map<number, { readonly thing: number; readonly want: Wanted }[]>();
    things.forEach((on, thing) => {
      const want = wantedOf(on);
      if (want === null || want.by === 'done' || graph.needsOf(thing) !== 'any') return;
      if (graph.endersOf(thing).length > 0) return;
      const others = wanted.get(want.addr);
      if (others === undefined) wanted.set(want.addr, [{ thing, want }]);
      else others.push({ thing, want });
    });
    if (wanted.size === 0) return;
    const reached = new ReachedCalls(program);
    const found = new Map<number, Ender[]>();
    /** By code address, how many goroutines were looked at that are there. */
    const looked = new Map<number, number>();
    for (const { g, index } of goroutinesByStack(this.#waits)) {
      const pc = this.#pcsOf(g).find((one) => reached.mayCome(one));
      const before = pc === undefined ? MAX_LOOKED : (looked.get(pc) ?? 0);
      if (pc === undefined || before >= MAX_LOOKED) continue;
      looked.set(pc, before + 1);
      const own = graph.thingsOf(index);
      const { frames } = program.stackOf(g, MAX_DEPTH);
      const innermost = frames.findIndex(({ point }) => !point.func.name.startsWith('runtime.'));
      const told = new Set<number>();
      for (const [i, frame] of frames.entries()) {
        for (const { addr, does, how, isGivenBack } of reached.of(g, frame)) {
          for (const { thing, want } of wanted.get(addr) ?? []) {
            const isOwn = own.some((one) => things[one]?.addr === addr);
            if (told.has(thing) || !endsBy(want, does) || (isOwn && (i === innermost || !isGivenBack))) continue;
            // What a callee may do on some path is little where a wait may end in other ways, too.
            if (how === 'by a callee' && things[thing]?.kind === 'select') continue;
            told.add(thing);
            const name = program.index.symbolizer.printedName(frame.point.func.name);
            const evidence = [reachedEvidence(name, want, does, how)];
            addTo(found, thing, { goroutine: index, strength: 'candidate', evidence }, MAX_CANDIDATES);
          }
        }
      }
    }
    for (const [thing, enders] of found) this.#set([thing], enders, MAX_CANDIDATES);
  }

  /** Adds who refers to WaitGroups, or to what they may be fields of, where nobody is known who would call Done. */
  #addReferences(search: EnderSearch): void {
    const { graph, things, program, referring } = this.#waits;
    const groups = new Map<number, number>();
    things.forEach(({ kind, addr }, thing) => {
      if (kind !== 'waitgroup' || addr === null || graph.needsOf(thing) === 'itself') return;
      if (graph.endersOf(thing).length === 0) groups.set(addr, thing);
    });
    if (groups.size === 0) return;
    const references = new GroupReferences(program, groups);
    const found = new Map<number, Ender[]>();
    for (const { g, index } of goroutinesByStack(this.#waits)) {
      const own = graph.thingsOf(index);
      const searched = { isOwn: (thing: number): boolean => own.includes(thing), isCapturing: search.isCapturing(g) };
      for (const [thing, evidence] of references.of(g, searched)) {
        if (evidence !== null)
          addTo(found, thing, { goroutine: index, strength: 'candidate', evidence }, MAX_CANDIDATES);
        else if (!referring.has(thing)) referring.set(thing, index);
      }
    }
    // One of them may be there by chance: the others go on without it.
    for (const [thing, enders] of found) this.#set([thing], enders, MAX_CANDIDATES, 'any');
  }

  /** The code addresses of a goroutine's stack; valid until the next call. */
  #pcsOf(g: G): Float64Array {
    const depth = this.#waits.program.pcsOfWhole(g, this.#pcs);
    if (depth > 0) return this.#pcs.subarray(0, depth);
    return Float64Array.from(this.#waits.program.stackOf(g, MAX_DEPTH).frames, ({ pc }) => pc);
  }

  /** `needs` is as before unless given. */
  #set(things: readonly number[], enders: readonly Ender[], most: number, needs?: Needs): void {
    const [thing] = things;
    if (thing === undefined) return;
    const all = enders.length > most ? 'itself' : (needs ?? this.#waits.graph.needsOf(thing));
    this.#waits.graph.setEnders(things, all, enders.slice(0, most));
  }

  /** By id of a goroutine that waits for a WaitGroup, which one. */
  #waitersOfGroups(): Map<number, number> {
    const { graph, goids, things } = this.#waits;
    const out = new Map<number, number>();
    things.forEach(({ kind }, thing) => {
      if (kind !== 'waitgroup') return;
      for (const waiter of graph.waitersOf(thing, MAX_CANDIDATES)) out.set(goids[waiter] ?? 0, thing);
    });
    return out;
  }
}

/** Adds to a list, up to one more than `most`, which tells that there are more. */
function addTo(lists: Map<number, Ender[]>, key: number, ender: Ender, most: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [ender]);
  else if (list.length <= most) list.push(ender);
}

/** Of those that may call Done, the certain ones, if they are as many as are missing. */
function likely(on: WaitsOn | undefined, enders: readonly Ender[]): readonly Ender[] {
  const certain = enders.filter(({ strength }) => strength !== 'candidate');
  return on?.counter !== undefined && certain.length >= on.counter ? certain : enders;
}

/** What has to be done to end a wait; null where frames do not tell who would. */
function wantedOf({ kind, addr, op }: WaitsOn): Wanted | null {
  if (addr === null) return null;
  if (kind === 'waitgroup') return { addr, by: 'done', orClose: false };
  if (kind === 'cond') return { addr, by: 'signal', orClose: false };
  if (kind !== 'chan' && kind !== 'select') return null;
  if (op === 'send') return { addr, by: 'receive', orClose: false };
  return op === 'recv' ? { addr, by: 'send', orClose: true } : null;
}
