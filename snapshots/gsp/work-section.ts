import { VALUE_LEVELS, OWN_KIND, type StoredWork, type Work } from '../work.js';
import { Fields } from './fields.js';
import { pack } from './msgpack.js';

/** Name of the section that holds what goroutines work on. */
export const WORK = 'work';

/** Encodes the msgpack object of the section. */
export function packWork({ level, byG }: StoredWork): Buffer {
  return pack({ level, goroutines: [...byG].map(([g, work]) => ({ g, work: work.map(plainWork) })) });
}

/**
 * Reads the decoded section. Kinds that only a newer gospy knows are left out, and levels that only that knows count as `full`.
 * Throws BytesError if it is damaged.
 */
export function readWork(value: unknown): StoredWork {
  const fields = new Fields(value, WORK);
  const name = fields.text('level');
  const level = VALUE_LEVELS.find((known) => known === name) ?? 'full';
  const goroutines = fields.list('goroutines', (item, where) => {
    const of = new Fields(item, where);
    return [of.address('g'), of.list('work', (one, at) => readOne(new Fields(one, at))).flat()] as const;
  });
  return { level, byG: new Map(goroutines) };
}

function plainWork({ kind, text, sure, since, group, deadlineMs }: Work): Partial<Record<keyof Work, unknown>> {
  return { kind, text, sure, since, group, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
}

function readOne(fields: Fields): Work[] {
  const kind = fields.text('kind');
  if (!OWN_KIND.test(kind)) return [];
  const since = fields.orNull('since', (key) => fields.count(key));
  const deadline = fields.has('deadlineMs') ? { deadlineMs: fields.integer('deadlineMs') } : {};
  return [
    { kind, text: fields.text('text'), sure: fields.flag('sure'), since, group: fields.text('group'), ...deadline },
  ];
}
