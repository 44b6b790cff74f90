import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type { Capture } from './capture.js';
import { GROUP_KINDS, labelNames, titleOf } from './groups.js';

/** A choice of what goroutines are grouped by: the kinds that there are, and the labels of a capture. */
export function GroupChoice({
  capture,
  by,
  onChoose,
}: {
  capture: Capture;
  by: string;
  onChoose: (by: string) => void;
}): JSX.Element {
  const labels = useMemo(() => labelNames(capture).map(({ name }) => `label:${name}`), [capture]);
  return (
    <label>
      Group by{' '}
      <select value={by} onChange={(event) => onChoose(event.currentTarget.value)}>
        {[...GROUP_KINDS.map(([kind]) => kind), ...labels].map((value) => (
          <option key={value} value={value}>
            {titleOf(value)}
          </option>
        ))}
      </select>
    </label>
  );
}
