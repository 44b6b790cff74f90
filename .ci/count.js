// Counts tap's results of all test files and exits with the result of the whole run: `node .ci/count.js BROKEN`, where
// BROKEN is 1 if an earlier step failed. It is a failure if no test ran or a test was skipped.
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from 'tap-parser';

const RESULTS = '.tap/test-results';

const counts = { pass: 0, fail: 0, skip: 0, todo: 0 };

/** Counts the assertions in one file's TAP, at any depth, without those that stand for a subtest. */
function count(path) {
  return new Promise((resolve, reject) => {
    const parser = new Parser((results) => {
      if (!results.ok && results.fail === 0) counts.fail++;
      resolve();
    });
    for (const kind of Object.keys(counts)) {
      parser.on(kind, (assertion) => {
        counts[kind]++;
        if (kind !== 'pass') console.log(`${path}: ${kind}: ${assertion.fullname} ${assertion.name}`);
      });
    }
    createReadStream(path).on('error', reject).pipe(parser);
  });
}

const files = existsSync(RESULTS) ? readdirSync(RESULTS, { recursive: true, encoding: 'utf8' }) : [];
for (const file of files.filter((name) => name.endsWith('.tap')).sort()) await count(join(RESULTS, file));

const left = counts.skip + counts.todo;
if (left > 0) console.log(`${left} skipped: CI allows none`);
if (counts.pass === 0) console.log('no test has run');
console.log(`${counts.pass} passed, ${counts.fail} failed`);
process.exitCode = process.argv[2] !== '0' || left > 0 || counts.fail > 0 || counts.pass === 0 ? 1 : 0;
