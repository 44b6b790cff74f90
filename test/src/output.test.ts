import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { GOSPY, gospy } from './gospy-process.js';

t.test('output: a reader that closes the pipe early ends gospy quietly', async (t) => {
  const child = spawn(process.execPath, [GOSPY, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  // Closed before gospy can write: its first write finds no reader.
  child.stdout.destroy();
  const stderr: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  t.equal(code, 0);
  t.equal(Buffer.concat(stderr).toString(), '');
});

for (const args of [['--version'], ['--help'], ['summary', '--help'], ['doctor']]) {
  t.test(`output: ${args.join(' ')} on a full disk is exit code 5`, async (t) => {
    const { code, stderr } = await gospy(args, { stdoutPath: '/dev/full' });
    t.equal(code, 5);
    t.match(stderr, /^gospy.*standard output.*no space is left on the disk\.\n$/);
  });
}
