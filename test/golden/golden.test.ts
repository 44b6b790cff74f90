import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { gospyHere } from '../src/gospy-here.js';
import { temporaryFolder } from '../support/gsp.js';

/**
 * What every reading command prints of the samples, word for word, beside this file. `GOSPY_GOLDEN=write` writes what is
 * printed now: review the changes before they are committed.
 */
const GOLDEN = fileURLToPath(new URL('../../../test/golden/', import.meta.url));
const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const WRITE = process.env['GOSPY_GOLDEN'] === 'write';

/** What is asked of each sample; FILE stands for it. */
const QUESTIONS = `
info FILE
info FILE --json
summary FILE
summary FILE --pc caller
summary FILE --pc current
summary FILE --pc user --limit 5
summary FILE --pc app --limit 5
summary FILE --json
goroutines FILE
goroutines FILE --status waiting --no-system --sort func
goroutines FILE --wait-reason select
goroutines FILE --func queue.*worker --limit 2
goroutines FILE --min-wait 1ms --sort wait
goroutines FILE --label tenant=blue
goroutines FILE --group-by start
goroutines FILE --group-by caller
goroutines FILE --group-by current
goroutines FILE --group-by user
goroutines FILE --group-by app
goroutines FILE --group-by stack
goroutines FILE --group-by stack --all --limit 3
goroutines FILE --group-by wait
goroutines FILE --group-by label:request
goroutines FILE --group-by wait --json
goroutines FILE --json
stacks FILE
stacks FILE --status running --status syscall --json
threads FILE
threads FILE --json
leaks FILE
leaks FILE --json
waits FILE
waits FILE --json
waits FILE --goid 1
waits FILE --dot
explain FILE 1
print FILE 1
top FILE --once
top FILE --once --group-by status
top FILE --once --group-by stack --sort name --filter main. --limit 3
`;

const COMPARISONS = `
diff before.gsp after.gsp
diff before.gsp after.gsp --json
diff before.gsp after.gsp --group-by wait
diff before.gsp after.gsp --group-by stack --limit 3
diff after.gsp before.gsp
diff torn.gsp partial.gsp
diff labels.gsp labels.gsp --group-by label:request
leaks before.gsp after.gsp
leaks after.gsp before.gsp --json
`;

/** A core of which the end is missing: the upper part of the heap, in which most stacks lie. */
const CUT = 'cut.core';
const CUT_BYTES = 30_000;

function linesOf(text: string): string[] {
  return text.trim().split('\n');
}

/** One command and what came of it. */
async function transcript(line: string): Promise<string> {
  const { code, stdout, stderr } = await gospyHere(line.split(' '));
  const notes = stderr.replace(/^(?=.)/gm, '! ');
  return `$ gospy ${line}\n${stdout}${notes}${code === 0 ? '' : `exit code ${code ?? 'none'}\n`}`;
}

/** Holds what the commands print in `folder` against a golden file, command by command. */
async function isGolden(t: Test, folder: string, name: string, lines: readonly string[]): Promise<void> {
  process.chdir(folder);
  const transcripts: string[] = [];
  for (const line of lines) transcripts.push(await transcript(line));
  const path = join(GOLDEN, `${name}.txt`);
  const text = transcripts.join('\n');
  if (WRITE) writeFileSync(path, text);
  const golden = readFileSync(path, 'utf8').split(/\n(?=\$ gospy )/);
  const title = (part: string): string => part.split('\n', 1)[0] ?? '';
  t.same(golden.map(title), transcripts.map(title), 'the commands in the golden file');
  for (const [i, part] of transcripts.entries()) t.same(linesOf(part), linesOf(golden[i] ?? ''), title(part));
}

const samples = readdirSync(SAMPLES).filter((name) => name !== 'README.md');

for (const sample of samples) {
  t.test(`golden: what every command says of ${sample}`, async (t) => {
    await isGolden(t, SAMPLES, sample, linesOf(QUESTIONS.replaceAll('FILE', sample)));
  });
}

t.test('golden: what diff says of two samples', (t) => isGolden(t, SAMPLES, 'diff', linesOf(COMPARISONS)));

t.test('golden: what every command says of a core that was cut short', async (t) => {
  const folder = temporaryFolder(t);
  const core = gunzipSync(readFileSync(join(SAMPLES, 'core.gz')));
  writeFileSync(join(folder, CUT), core.subarray(0, core.length - CUT_BYTES));
  await isGolden(t, folder, CUT, linesOf(QUESTIONS.replaceAll('FILE', CUT)));
  process.chdir(SAMPLES);
});

t.test('golden: there is no file that nothing is held against', (t) => {
  const files = readdirSync(GOLDEN).filter((name) => name.endsWith('.txt'));
  t.same(files.sort(), [...samples, 'diff', CUT].map((name) => `${name}.txt`).sort());
  t.end();
});
