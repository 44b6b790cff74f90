import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const END = '<!-- end of what it wrote -->';

/** Replaces the table of `npm run BENCH` in the README, and formats the file. Throws if there is no place for the table. */
export function publish(bench: string, table: string): void {
  const begin = `<!-- written by npm run ${bench} -->`;
  const readme = readFileSync(README, 'utf8');
  const from = readme.indexOf(begin);
  const to = readme.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`README.md has no place for the table: ${begin} and ${END}`);
  writeFileSync(README, `${readme.slice(0, from + begin.length)}\n\n${table}\n${readme.slice(to)}`);
  execFileSync('npx', ['prettier', '--write', README]);
}
