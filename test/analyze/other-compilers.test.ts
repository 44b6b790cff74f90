import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { gospy } from '../src/gospy-process.js';
import { startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';

/** Programs of other compilers, as far as gospy tells them by what they have in memory. */
const STAND_INS = [
  { name: 'gccgo', told: 'gccgo', text: '%s:%U: libgo assertion failure\\n', library: null },
  { name: 'gccgo with libgo.so', told: 'gccgo', text: 'x', library: 'libgo.so.21' },
  { name: 'TinyGo', told: 'TinyGo', text: 'panic: runtime error at ', library: null },
] as const;

const C = (text: string): string => `
#include <stdio.h>
#include <unistd.h>
const char *volatile text = "${text}";
int main(void) { puts("ready"); fflush(stdout); for (;;) pause(); }
`;

const GO = `package main

import ("os"; "time")

func main() { os.Stdout.WriteString("ready\\n"); time.Sleep(time.Hour) }
`;

/** Builds a C program with a text of a runtime's, or with a library that has the name of one. */
function buildStandIn(t: Test, text: string, library: string | null): string {
  const folder = temporaryFolder(t);
  const [source, path] = [join(folder, 'main.c'), join(folder, 'program')];
  writeFileSync(source, C(text));
  const link = ['-s'];
  if (library !== null) {
    mkdirSync(join(folder, 'lib'));
    const shared = join(folder, 'lib', library);
    writeFileSync(join(folder, 'lib.c'), 'int go_library;\n');
    execFileSync('gcc', ['-shared', '-fPIC', '-o', shared, join(folder, 'lib.c')]);
    link.push('-Wl,--no-as-needed', shared, `-Wl,-rpath,${join(folder, 'lib')}`);
  }
  execFileSync('gcc', ['-o', path, source, ...link]);
  return path;
}

async function isNamed(t: Test, path: string, compiler: string): Promise<void> {
  const program = await startGo(t, path);
  const expected = { exitCode: 6, message: new RegExp(`found that of ${compiler}, which gospy does not read`) };
  const live = new LiveProcess(program.pid, 'read');
  t.teardown(() => live.close());
  t.throws(() => openProgram(live.image()), expected);
  const { code, stderr } = await gospy(['summary', '--pid', `${program.pid}`]);
  t.equal(code, 6);
  t.match(stderr, expected.message);
  t.ok(program.alive(), 'the program lives');
}

for (const { name, told, text, library } of STAND_INS) {
  t.test(`other compilers: a program with the runtime of ${name} is named, and exits with 6`, async (t) => {
    await isNamed(t, buildStandIn(t, text, library), told);
  });
}

t.test('other compilers: stripped programs of a gccgo that is installed are named', async (t) => {
  const compiler = ['gccgo', 'gccgo-14', 'gccgo-13', 'gccgo-12'].find(
    (command) => spawnSync(command, ['--version']).status === 0,
  );
  if (compiler === undefined) {
    t.comment('no gccgo here: the stand-ins have its marks');
    t.end();
    return;
  }
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'main.go'), GO);
  for (const link of [[], ['-static-libgo'], ['-static']]) {
    const path = join(folder, `program${link.join('')}`);
    execFileSync(compiler, ['-s', ...link, '-o', path, join(folder, 'main.go')], { stdio: 'ignore' });
    await isNamed(t, path, 'gccgo');
  }
});
