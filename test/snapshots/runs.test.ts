import t from 'tap';
import { addr } from '../../snapshots/address.js';
import type { Range } from '../../snapshots/memory.js';
import { RangeList, Runs } from '../../snapshots/runs.js';
import { random } from '../support/gsp.js';

function range(lo: number, hi: number): Range {
  return { lo: addr(lo), hi: addr(hi) };
}

t.test('runs: ranges that overlap, touch or are close become one run', (t) => {
  const ranges = [range(50, 60), range(10, 20), range(18, 25), range(25, 30), range(40, 40), range(33, 35)];
  t.strictSame(
    [...new Runs(ranges, 0)].map(({ lo, hi }) => [lo, hi]),
    [
      [10, 30],
      [33, 35],
      [50, 60],
    ],
  );
  t.strictSame(
    [...new Runs(ranges, 3)].map(({ lo, hi }) => [lo, hi]),
    [
      [10, 35],
      [50, 60],
    ],
  );
  t.equal(new Runs(ranges, 3).sizeBytes, 35);
  t.equal(new Runs([], 0).length, 0);
  t.end();
});

t.test('runs: offsets in the buffer are those of the bytes laid out one run after the other', (t) => {
  const wrong: string[] = [];
  for (let seed = 1; seed <= 100; seed++) {
    const next = random(seed);
    const ranges = Array.from({ length: next(15) }, () => {
      const lo = next(200);
      return range(lo, lo + next(20));
    });
    const runs = new Runs(ranges, next(4));
    const layout = [...runs].flatMap(({ lo, hi }) => Array.from({ length: hi - lo }, (_, i) => lo + i));
    t.equal(runs.sizeBytes, layout.length);
    const isAsked = (at: number): boolean => ranges.some(({ lo, hi }) => at >= lo && at < hi);
    for (let at = 0; at < 230; at++) {
      // What lies between the parts of a run is in the buffer, and counts as absent.
      const offset = isAsked(at) ? layout.indexOf(at) : -1;
      const run = [...runs].findIndex(({ lo, hi }) => isAsked(at) && at >= lo && at < hi);
      if (runs.offsetOf(at, 1) !== offset || runs.indexOf(at) !== run) wrong.push(`seed ${seed}: ${at}`);
      if (runs.touches(at, at + 1) !== isAsked(at)) wrong.push(`seed ${seed}: touches ${at}`);
      if (offset < 0) continue;
      let end = at;
      while (isAsked(end)) end++;
      if (runs.offsetOf(at, end - at) !== offset) wrong.push(`seed ${seed}: from ${at} to the end of its part`);
      if (runs.offsetOf(at, end - at + 1) !== -1) wrong.push(`seed ${seed}: from ${at} past the end of its part`);
      const part = runs.partOf(at);
      if (part === null || part.hi !== end || at < part.lo) wrong.push(`seed ${seed}: the part of ${at}`);
    }
    const parts = [...runs.parts(20, 150)].flatMap(({ lo, hi }) => Array.from({ length: hi - lo }, (_, i) => lo + i));
    const asked = Array.from({ length: 130 }, (_, i) => 20 + i).filter(isAsked);
    if (parts.join() !== asked.join()) wrong.push(`seed ${seed}: its parts`);
  }
  t.strictSame(wrong, []);
  t.end();
});

t.test('runs: those that are full end with a range, and no range is cut', (t) => {
  const touching = Array.from({ length: 10 }, (_, i) => range(100 * i, 100 * i + 100));
  t.strictSame(
    [...new Runs(touching, 0, 250)].map(({ lo, hi }) => [lo, hi]),
    [
      [0, 300],
      [300, 600],
      [600, 900],
      [900, 1000],
    ],
  );
  const wrong: string[] = [];
  for (let seed = 1; seed <= 100; seed++) {
    const next = random(seed);
    const ranges = Array.from({ length: 1 + next(30) }, () => {
      const lo = next(400);
      return range(lo, lo + 1 + next(20));
    });
    const fullAt = 1 + next(60);
    const runs = new Runs(ranges, next(4), fullAt);
    const all = [...runs];
    for (const { lo, hi } of ranges) {
      const run = runs.indexOf(lo);
      const offset = (all[run]?.lo ?? NaN) + runs.offsetOf(lo, hi - lo) - runs.placeOf(run);
      if (offset !== lo || runs.indexOf(hi - 1) !== run) wrong.push(`seed ${seed}: ${lo}`);
    }
    // Where ranges overlap there is no end to cut at.
    const ends = ranges.map(({ hi }) => hi).filter((at) => !ranges.some(({ lo, hi }) => at > lo && at < hi));
    for (const { lo, hi } of all) {
      if (ends.some((at) => at >= lo + fullAt && at < hi)) wrong.push(`seed ${seed}: ${lo} to ${hi} is too long`);
    }
    const bytes = new Set(ranges.flatMap(({ lo, hi }) => Array.from({ length: hi - lo }, (_, i) => lo + i)));
    const parts = [...runs.parts()].flatMap(({ lo, hi }) => Array.from({ length: hi - lo }, (_, i) => lo + i));
    if (parts.join() !== [...bytes].sort((a, b) => a - b).join()) wrong.push(`seed ${seed}: its parts`);
  }
  t.strictSame(wrong, []);
  t.end();
});

t.test('range list: grows, and drops empty ranges', (t) => {
  const list = new RangeList();
  for (let i = 0; i < 1000; i++) list.add(i * 10, i * 10 + (i % 3));
  const kept = [...list];
  t.equal(kept.length, 666);
  t.ok(kept.every(({ lo, hi }) => hi - lo === (lo / 10) % 3));
  t.end();
});

t.test('range list: takes ranges of any kind, its own too', (t) => {
  const ranges = Array.from({ length: 100 }, (_, i) => range(i * 10, i * 10 + 1 + (i % 5)));
  const [list, runs] = [new RangeList(ranges), new Runs(ranges, 6)];
  for (const more of [ranges, list, runs, list]) {
    const expected = [...list, ...more].map(({ lo, hi }) => range(lo, hi));
    list.addAll(more);
    t.strictSame([...list], expected);
  }
  t.strictSame(new Runs(list, 6).sizeBytes, runs.sizeBytes);
  t.end();
});
