import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../support/gsp.js';
import { rewriteSnapshot, type Replacements } from '../support/rewritten-gsp.js';
import { checkFormats, goroutinesAsJson } from './hostile-formats.js';

/** Names that do harm where they are taken for anything but text. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
/** All that ends a name in one of the formats: in names of functions, in paths, and in keys and values of labels. */
const REPLACED: Replacements = [
  ['main.', '";\n\\.'],
  ['receive', '\u001b[2J\u202e'],
  ['worker', '</x>;1'],
  ['tenant', '{a}="b'],
  ['blue', '"\r\n,'],
  ['request', '__proto'],
];

for (const sample of ['labels.gsp', 'queue.gsp']) {
  t.test(`export: hostile names in ${sample} arrive as text in every format`, async (t) => {
    const target = await hostileSnapshot(t, sample);
    const frames = (await goroutinesAsJson(target)).flatMap(({ frames }) => frames);
    t.ok(frames.some(({ func }) => func.startsWith('";\n\\.')), 'functions have such names'); // prettier-ignore
    t.ok(frames.some(({ file }) => file.endsWith('";\n\\.go')), 'files have such names'); // prettier-ignore
    await checkFormats(t, target);
  });
}

async function hostileSnapshot(t: Test, sample: string): Promise<string> {
  const path = join(temporaryFolder(t), `"'<b>;\u202e${sample}`);
  await rewriteSnapshot(join(SAMPLES, sample), path, REPLACED);
  return path;
}
