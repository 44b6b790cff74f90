import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
  /** Where to report bugs. */
  readonly bugs?: { readonly url?: string };
}

/** gospy's own package.json, two folders above the built file. */
function manifest(): Manifest {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Manifest;
}

/** gospy's version, `X.Y.Z`. */
export function version(): string {
  return manifest().version;
}

/** Where a bug of gospy's is reported: a URL, or whom to ask where package.json names none. */
export function bugTracker(): string {
  return manifest().bugs?.url ?? 'the gospy authors';
}
