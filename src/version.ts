import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
  /** npm's field for where bugs are reported. */
  readonly bugs?: { readonly url?: string };
}

/** Reads gospy's own package.json, two folders above the built file. */
function readManifest(): Manifest {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Manifest;
}

/** gospy's version, `X.Y.Z`. */
export function version(): string {
  return readManifest().version;
}

/** Where to report bugs in gospy: a URL, or whom to ask if package.json names none. */
export function bugTracker(): string {
  return readManifest().bugs?.url ?? 'the gospy authors';
}
