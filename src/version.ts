import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Manifest {
  readonly version: string;
  /** npm's field for where bugs are reported. */
  readonly bugs?: { readonly url?: string };
}

/** Path of a file of gospy's package. The built file is two folders below the package, in a bundle or not. */
export function packageFile(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

function readManifest(): Manifest {
  return JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as Manifest;
}

/** gospy's version, `X.Y.Z`. */
export function version(): string {
  return readManifest().version;
}

/** Where to report bugs in gospy: a URL, or whom to ask if package.json names none. */
export function bugTracker(): string {
  return readManifest().bugs?.url ?? 'the gospy authors';
}
