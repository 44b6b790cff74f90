/** A Go release, as `runtime.Version()` gives it. */
export interface GoVersion {
  /** Without the `go` prefix: `1.26.8`, `1.27-devel_…`. */
  readonly text: string;
  readonly minor: number;
  /** 0 where the text has none: a first release before 1.21, a beta, a development tree. */
  readonly patch: number;
}

const VERSION = /\bgo1\.(\d{1,3})(?:\.(\d{1,3}))?/;

/** Parses `go1.26.8`, `devel go1.27-3e5f… linux/amd64`, `go1.21.3 X:nocoverageredesign`; null for other text. */
export function parseGoVersion(text: string): GoVersion | null {
  const match = VERSION.exec(text);
  if (match?.[1] === undefined) return null;
  return { text: text.trim().replace(/^go/, ''), minor: Number(match[1]), patch: Number(match[2] ?? 0) };
}

/** Compares for sorting: negative where `a` is older than `b`, 0 where they are the same release. */
export function compareGoVersions(
  a: Pick<GoVersion, 'minor' | 'patch'>,
  b: Pick<GoVersion, 'minor' | 'patch'>,
): number {
  return a.minor - b.minor || a.patch - b.patch;
}
