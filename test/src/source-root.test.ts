import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { gospyHere } from './gospy-here.js';
import { gospy } from './gospy-process.js';

const run = promisify(execFile);
/** A module whose goroutines wait on lines that say so; `.` in the last element of an import path is escaped in names. */
const FILES: Readonly<Record<string, string>> = {
  'go.mod': 'module example.com/shop // of the tests\n\ngo 1.18\n',
  'internal/pool.v2/pool.go': `package pool

func Wait[T any](c chan T) T {
	return inlined(c)
}

func inlined[T any](c chan T) T {
	return <-c // waits here
}
`,
  'cmd/server/main.go': `package main

import (
	"fmt"
	"time"

	pool "example.com/shop/internal/pool.v2"
)

func main() {
	for i := 0; i < 3; i++ {
		go func() {
			pool.Wait(make(chan int)) // through here
		}()
	}
	fmt.Println("ready")
	time.Sleep(time.Hour) // waits here
}
`,
};

function write(folder: string): void {
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/** Lines of the program's source that a text names by files below a folder. */
function linesNamed(text: string, folder: string): string[] {
  return [...text.matchAll(/[(\t]([^()\t\n]+):(\d+)/g)]
    .filter(([, file = '']) => file.startsWith(`${folder}/`))
    .map(([, file = '', line]) => readFileSync(file, 'utf8').split('\n')[Number(line) - 1]?.trim() ?? 'no such line');
}

if (requireGo(t)) {
  for (const args of [[], ['-trimpath'], ['-gcflags=all=-N -l']]) {
    t.test(`source root: names the lines of a checkout elsewhere (${args.join(' ')})`, async (t) => {
      const folder = temporaryFolder(t);
      const [built, checkout, snap] = ['built', 'checkout', 'snap.gsp'].map((name) => join(folder, name)) as [
        ...[string, string, string],
      ];
      write(built);
      const program = join(folder, 'server');
      await run('go', ['build', ...args, '-o', program, './cmd/server'], { cwd: built });
      const started = await startGo(t, program);
      await untilQuiet(started.pid);
      const { code, stderr } = await gospyHere(['capture', '--pid', String(started.pid), '-o', snap]);
      t.equal(code, 0, stderr);
      started.signal('SIGKILL');
      // Nothing is left where it was built.
      renameSync(built, checkout);

      for (const command of [
        'goroutines',
        'summary --pc app',
        'stacks',
        'goroutines --group-by stack',
        'top --once --group-by app',
        'diff',
      ]) {
        const [name = '', ...options] = command.split(' ');
        const targets = name === 'diff' ? [snap, snap] : [snap];
        const { code, stdout, stderr } = await gospyHere([name, ...targets, ...options, '--source-root', checkout]);
        t.equal(code, 0, `${command}: ${stderr}`);
        const named = linesNamed(stdout, checkout);
        if (name !== 'diff') t.ok(named.length > 1, `${command}: ${stdout}`);
        t.notOk(stdout.includes(built), `${command} names no file where it was built`);
        const known = /here$|^return inlined|^go func\(\) \{$|^\}\(\)$/;
        t.same(
          named.filter((line) => !known.test(line)),
          [],
          command,
        );
      }
      const json = await gospyHere(['goroutines', snap, '--json', '--source-root', checkout]);
      t.equal(json.stdout, (await gospyHere(['goroutines', snap, '--json'])).stdout, 'JSON is the same');
      const piped = await gospy(['stacks', snap, '--source-root', checkout], { env: { FORCE_HYPERLINK: '1' } });
      t.notMatch(piped.stdout, /\u001b/, 'no links where no terminal is');
    });
  }
}
