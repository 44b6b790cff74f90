import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { ProcessImage } from '../../snapshots/image.js';
import { forge, HONEST_FACTS } from '../support/forged-gsp.js';
import { temporaryFolder } from '../support/gsp.js';
import { rewriteSnapshot } from '../support/rewritten-gsp.js';
import { gospyHere } from './gospy-here.js';

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
/** Clears a screen, in both ways to write that; ends a line; turns the direction of reading around. */
const EVIL = '\u001b[2J\u009b2J\r\nEVIL\u0007\u202e';
/** What a goroutine is called, and where it is: replaced in the memory of a process. */
const REPLACED: readonly (readonly [from: string, to: string])[] = [
  ['main.', '\u001b[2J.'],
  ['blue', '\u009b2J'],
  ['server', '\r\nEVIL'],
];
/** Control characters except line feeds and tabs, and those that change the direction of reading. */
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** All texts of an image with {@link EVIL} in them. */
function hostile(image: ProcessImage): ProcessImage {
  const { executable, host, capture } = image;
  return {
    ...image,
    threads: image.threads.map((thread) => ({
      ...{ ...thread, name: EVIL, state: EVIL },
      native: { name: EVIL, file: EVIL, offset: 1 },
    })),
    mappings: image.mappings.map((mapping) => ({ ...mapping, path: mapping.path === '' ? '' : EVIL + mapping.path })),
    executable: { ...executable, path: EVIL + executable.path, buildId: EVIL, goBuildId: EVIL },
    host: { ...host, hostname: EVIL, kernel: EVIL, bootId: EVIL },
    capture: { ...capture, capturedAt: EVIL, writer: EVIL, warnings: [{ code: EVIL, message: EVIL.repeat(1000) }] },
  };
}

async function writeHostile(sample: string, path: string): Promise<void> {
  await rewriteSnapshot(join(SAMPLES, sample), path, REPLACED, hostile);
}

/** Checks that nothing in what a command printed can be obeyed by a terminal, or passes for a line of its own. */
function isHarmless(t: Test, command: string, text: string): void {
  t.notMatch(text, OBEYED, command);
  t.notMatch(text, /^EVIL/m, command);
}

const COMMANDS = `
info FILE
info FILE --json
summary FILE
summary FILE --pc user
summary FILE --json
goroutines FILE
goroutines FILE --group-by stack
goroutines FILE --group-by label:tenant
goroutines FILE --ndjson
stacks FILE
stacks FILE --json
threads FILE
threads FILE --json
explain FILE 1
explain FILE 1 --json
top FILE --once
top FILE --once --group-by stack
diff FILE FILE --group-by stack
diff FILE FILE --json
export FILE --format folded
export FILE --format speedscope
export FILE --format traceback --labels
export FILE --format json
export FILE --format ndjson
export FILE --format dot
`;

t.test('hostile text: what a target calls its things is shown and not obeyed', async (t) => {
  for (const sample of ['labels.gsp', 'crash.gsp', 'queue.gsp']) {
    const path = join(temporaryFolder(t), sample);
    await writeHostile(sample, path);
    let seen = '';
    for (const line of COMMANDS.trim().split('\n')) {
      const command = line.replaceAll('FILE', path);
      const { code, stdout, stderr } = await gospyHere(command.split(' '));
      t.equal(code, 0, `${command}: ${stderr}`);
      isHarmless(t, command, stdout);
      isHarmless(t, command, stderr);
      t.ok(stderr.length < 4000, `${command}: ${stderr.length} characters on standard error`);
      const documents = /--ndjson|format ndjson/.test(line)
        ? stdout.trim().split('\n')
        : /--json|format (json|speedscope)/.test(line)
          ? [stdout]
          : [];
      for (const document of documents) t.doesNotThrow(() => JSON.parse(document) as unknown, command);
      seen += stdout;
    }
    for (const shown of ['\\x1b[2J.', '\\u001b[2J.', '\\u009b2J', '\\u202e'])
      t.ok(seen.includes(shown), `${sample}: ${shown}`);
  }
});

t.test('hostile text: a message repeats no more of a file than it takes to see what is wrong', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'x.gsp');
  const long = EVIL.repeat(200);
  const raw = Buffer.alloc(10);
  const forged: Readonly<Record<string, () => void>> = {
    'the CPU in the header': () => forge(path, { header: { arch: long }, sections: [HONEST_FACTS] }),
    'a newer writer': () => forge(path, { header: { version: 9, writer: long }, sections: [HONEST_FACTS] }),
    "a section's name": () => forge(path, { sections: [HONEST_FACTS, { name: long, raw, entry: { sha256: raw } }] }),
    "a section's own name": () => forge(path, { sections: [{ ...HONEST_FACTS, object: { section: long.repeat(9) } }] }),
    'an encoding': () => forge(path, { sections: [{ ...HONEST_FACTS, object: { encoding: long.repeat(9) } }] }),
  };
  for (const [what, write] of Object.entries(forged)) {
    write();
    for (const args of [
      ['summary', path],
      ['info', path],
      ['info', path, '--json'],
    ]) {
      const { code, stdout, stderr } = await gospyHere(args);
      t.not(code, 0, `${what}: ${args.join(' ')}`);
      isHarmless(t, what, stdout);
      isHarmless(t, what, stderr);
      t.ok(stderr.length < 600, `${what}: ${stderr.length} characters`);
      t.notMatch(stderr, /^(?!gospy)./m, `${what}: whole lines`);
    }
  }
  const name = `${folder}/${EVIL}`;
  for (const args of [
    ['summary', name],
    ['summary', 'x'.repeat(1e5)],
    [long],
    ['y'.repeat(1e5)],
    ['summary', '--pid', long],
  ]) {
    const { code, stderr } = await gospyHere(args);
    t.ok(code === 2 || code === 5, 'a command line is no better');
    isHarmless(t, 'command line', stderr);
    t.ok(stderr.length < 4000, `${stderr.length} characters`);
    t.equal(stderr.trim().split('\n').length, 1, 'one line');
  }
});
