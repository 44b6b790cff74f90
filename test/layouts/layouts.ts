import { fileURLToPath } from 'node:url';
import { parseGoVersion } from '../../analyze/binary/go-version.js';
import { releaseOf } from '../../analyze/runtime/releases.js';
import { examine } from './examine.js';

const LAYOUTS = fileURLToPath(new URL('../../../analyze/runtime/layouts.json', import.meta.url));
const USAGE = 'usage: npm run layouts -- VERSION [--write]   (such as 1.28.0; docs/new-go-release.md)\n';

/** Returns the exit code: 0 if the tables hold for the release, or do after --write; 1 if something needs a look; 2 for wrong use. */
async function main(args: readonly string[]): Promise<number> {
  const [text = '', ...flags] = args;
  const version = parseGoVersion(`go${text}`);
  if (version === null || flags.some((flag) => flag !== '--write')) {
    process.stderr.write(USAGE);
    return 2;
  }
  const write = flags.length > 0;
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const result = await examine({ version, layoutsPath: LAYOUTS, record: releaseOf(version), write, print });
  const movedStructs = write ? [] : result.movedStructs;
  return result.moved.length + result.problems.length + movedStructs.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
