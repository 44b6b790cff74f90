import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCE = fileURLToPath(new URL('../../../test/fixtures/packer/unpack.c', import.meta.url));
/** Away from where Go's linker puts programs. */
const ADDRESS = '0x70000000';

/**
 * Builds the stub of an executable packer in `folder` and returns its path. It runs the program that its first argument
 * names out of memory of its own, and has no build id, as the output of UPX has none.
 */
export async function buildPacker(folder: string): Promise<string> {
  const path = join(folder, 'packed');
  const link = ['-static', '-no-pie', `-Wl,-Ttext-segment=${ADDRESS}`, '-Wl,--build-id=none'];
  await promisify(execFile)('gcc', ['-O1', ...link, '-o', path, SOURCE]);
  return path;
}
