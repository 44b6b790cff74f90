import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openProgram } from '../../analyze/program.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gospy } from '../src/gospy-process.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { skip } from '../support/skip.js';
import { patient, tracers, until } from './targets.js';

const MANY = { fixture: 'many', release: '1.26', link: 'stripped' } as const;
const GOROUTINES = 100;
const DISK_BYTES = 600 << 20;

/** A file system that can be made to wait with all that is written; null if none can be made here. */
function newDisk(t: Test): { readonly path: string; freeze(): void; thaw(): void } | null {
  const folder = temporaryFolder(t);
  const [file, path] = [join(folder, 'disk'), join(folder, 'mounted')];
  try {
    writeFileSync(file, '');
    truncateSync(file, DISK_BYTES);
    execFileSync('mkfs.ext4', ['-q', file], { stdio: 'pipe' });
    mkdirSync(path);
    execFileSync('mount', ['-o', 'loop', file, path], { stdio: 'pipe' });
  } catch {
    return null;
  }
  let isFrozen = false;
  const thaw = (): void => {
    if (isFrozen) execFileSync('fsfreeze', ['-u', path]);
    isFrozen = false;
  };
  t.teardown(async () => {
    thaw();
    await until(() => {
      try {
        execFileSync('umount', [path], { stdio: 'pipe' });
        return true;
      } catch {
        return false; // The program is not gone yet.
      }
    }, 'the disk to be free');
  });
  return {
    path,
    freeze: () => {
      execFileSync('fsfreeze', ['-f', path]);
      isFrozen = true;
    },
    thaw,
  };
}

if (requireGo(t)) {
  t.test('core dumping: a process whose core is being written is read without a stop', async (t) => {
    if (readFileSync('/proc/sys/kernel/core_pattern', 'utf8').startsWith('|')) {
      skip(t, 'the kernel hands cores to a program here');
      return;
    }
    const disk = newDisk(t);
    if (disk === null) {
      skip(t, 'no disk can be mounted here');
      return;
    }
    const words = ['-c', 'ulimit -c unlimited; cd "$1"; shift; exec "$@"', 'sh', disk.path];
    const program = await startGo(t, 'sh', {
      args: [...words, await buildGo(MANY), '-n', String(GOROUTINES)],
      env: { GOTRACEBACK: 'crash' },
    });
    const { pid } = program;
    disk.freeze();
    program.signal('SIGQUIT');
    const isDumping = (): boolean => /^CoreDumping:\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    await until(isDumping, 'the kernel to write the core');

    t.throws(() => withStopped(pid, patient, () => t.fail('it was stopped')), {
      message: /is writing its core/,
      exitCode: 3,
    });
    const path = join(temporaryFolder(t), 'crashed.gsp');
    for (const mode of ['stop', 'clone', 'live']) {
      const { code, stdout } = await gospy(['capture', '--pid', String(pid), '-o', path, '--json', '--mode', mode]);
      t.equal(code, 0);
      const report = JSON.parse(stdout) as { mode: string; pauseNs: number; warnings: readonly { code: string }[] };
      t.match(report, { mode: 'live', pauseNs: 0 });
      t.same(
        report.warnings.map(({ code }) => code),
        mode === 'live' ? [] : ['core-dumping'],
        mode,
      );
      t.ok(
        tracers(pid).every((tracer) => tracer === 0),
        'nobody traces it',
      );
    }
    const image = openSnapshot(path);
    t.teardown(() => image.close());
    const waiting = [...listGoroutines(openProgram(image), 'stack')].filter(({ status }) => status === 'waiting');
    t.ok(waiting.length >= GOROUTINES, 'the goroutines are there');
    t.ok(
      waiting.every(({ frames }) => frames.length > 0),
      'with their stacks',
    );
    t.ok(isDumping(), 'it was so all the while');
    disk.thaw();
  });
}
