import type { Evidence, WaitsOn } from '../waits/model.js';
import type { Ender, Needs } from '../waits/wait-graph.js';
import { enderText } from './wait-texts.js';

/** Goroutines of a kind that are named beside others, and kinds that are told of. */
const MAX_NAMED = 3;
/** Goroutines that are told of. */
export const MAX_ENDERS = 8;

/** What is to be known of a goroutine, by its index. */
export interface Named {
  readonly goidOf: (goroutine: number) => number;
  readonly funcOf: (goroutine: number) => string;
}

/**
 * Who has to end a wait, with why that is thought: those of whom the same is said together, as in
 * `its Done probably due from 35, 36 in main.worker: main.worker, which refers to it, calls Done; and 2 others`.
 */
export function enderListText(on: WaitsOn, needs: Needs, enders: readonly Ender[], { goidOf, funcOf }: Named): string {
  /** By what is said of them, the ids of the first ones. */
  const alike = new Map<string, { readonly does: string; readonly goids: number[] }>();
  for (const { goroutine, strength, evidence } of enders.slice(0, MAX_ENDERS)) {
    const does = enderText(on, strength, needs);
    const said = `${does} in ${funcOf(goroutine)}: ${evidenceText(evidence)}`;
    const known = alike.get(said);
    if (known !== undefined) known.goids.push(goidOf(goroutine));
    else if (alike.size < MAX_NAMED) alike.set(said, { does, goids: [goidOf(goroutine)] });
  }
  const most = alike.size > 1 ? MAX_NAMED : MAX_ENDERS;
  let others = enders.length;
  const texts = [...alike].map(([said, { does, goids }]) => {
    const named = goids.slice(0, most).sort((a, b) => a - b);
    others -= named.length;
    return `${does} ${named.join(', ')}${said.slice(does.length)}`;
  });
  return [...texts, ...(others > 0 ? [`and ${others} ${others === 1 ? 'other' : 'others'}`] : [])].join('; ');
}

/** Why something is thought, in words. */
export function evidenceText(evidence: readonly Evidence[]): string {
  return evidence[0]?.message ?? 'not said why';
}
