import { padEnd, widthOf } from './width.js';

/** A line that states one fact. */
export type Fact = readonly [label: string, text: string];

/** A line a fact, the texts in a column to the right of the labels. */
export function factLines(facts: readonly Fact[]): string {
  const width = facts.reduce((most, [label]) => Math.max(most, widthOf(label)), 0);
  return facts.map(([label, text]) => `${padEnd(label, width)}  ${text}\n`).join('');
}
