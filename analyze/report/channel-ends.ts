import type { Addr } from '../../snapshots/address.js';
import type { WaitsOn } from '../waits/model.js';

/**
 * Things as a reader counts them, by their indexes: those who wait at one end of a channel are one group, be it plainly or in
 * a select; the plain ones come first. Every other thing is a group of its own.
 */
export function byChannelEnd(things: readonly WaitsOn[]): number[][] {
  const groups: number[][] = [];
  const ends = { send: new Map<Addr, number[]>(), recv: new Map<Addr, number[]>() };
  things.forEach(({ kind, op, addr }, thing) => {
    const isEnd = (kind === 'chan' || kind === 'select') && addr !== null && (op === 'send' || op === 'recv');
    const known = isEnd ? ends[op].get(addr) : undefined;
    if (known !== undefined) {
      if (kind === 'chan') known.unshift(thing);
      else known.push(thing);
      return;
    }
    const group = [thing];
    groups.push(group);
    if (isEnd) ends[op].set(addr, group);
  });
  return groups;
}
