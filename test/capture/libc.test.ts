import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { Errno, Pinned, errno, errnoName, processVmReadv, ptrace, waitid } from '../../capture/libc.js';
import { GONE, pollStop } from '../../capture/ptrace/ptrace.js';
import { NO_PID } from './targets.js';

test('libc: errno holds the reason of a failed call', (t) => {
  const info = new Pinned(128);
  for (let i = 0; i < 1000; i++) {
    if (ptrace(0x4206, NO_PID, 0, 0) !== -1 || errno() !== Errno.ESRCH) t.fail('no such process');
    if (waitid(1, NO_PID, info.address, 4) !== -1 || errno() !== Errno.ECHILD) t.fail('no such child');
    if (waitid(99, NO_PID, info.address, 4) !== -1 || errno() !== Errno.EINVAL) t.fail('no such kind of id');
    if (ptrace(0x4206, process.pid, 0, 0) !== -1 || errno() !== Errno.EPERM) t.fail('its own process');
  }
  t.equal(errnoName(Errno.ESRCH), 'ESRCH');
  t.equal(pollStop(process.pid), GONE, 'gospy is not a tracee of its own');
  t.end();
});

test('libc: the kernel writes to pinned memory at its address', (t) => {
  for (const size of [1, 8, 64, 65, 5000, 3_000_000]) {
    const [from, to, lists] = [new Pinned(size), new Pinned(size), new Pinned(32)];
    for (let i = 0; i < size; i++) from.bytes[i] = (i * 7 + 1) % 256;
    lists.setWord(0, to.address);
    lists.setWord(8, size);
    lists.setWord(16, from.address);
    lists.setWord(24, size);
    t.equal(processVmReadv(process.pid, lists.address, 1, lists.address + 16, 1), size);
    t.ok(Buffer.from(to.bytes).equals(from.bytes), `${size} bytes`);
  }
  t.end();
});

test('libc: pinned memory stays where it is while the heap is collected', (t) => {
  const pinned = Array.from({ length: 200 }, (_, i) => {
    const memory = new Pinned(16);
    memory.bytes.fill(i);
    return memory;
  });
  for (let i = 0; i < 200; i++) Array.from({ length: 10_000 }, (_, n) => ({ n }));
  const [to, lists] = [new Pinned(16), new Pinned(32)];
  for (const [i, from] of pinned.entries()) {
    lists.setWord(0, to.address);
    lists.setWord(8, 16);
    lists.setWord(16, from.address);
    lists.setWord(24, 16);
    processVmReadv(process.pid, lists.address, 1, lists.address + 16, 1);
    if (!to.bytes.every((byte) => byte === i)) t.fail(`piece ${i}`);
  }
  t.end();
});

test('libc: without native code, only live processes are refused', async (t) => {
  const preload = join(t.testdir(), 'preload.cjs');
  writeFileSync(
    preload,
    `const { Module } = require('node:module');
    const load = Module._load;
    Module._load = function (name, ...rest) {
      if (name === 'ffi-rs') throw new Error('no build for this CPU');
      return load.call(this, name, ...rest);
    };`,
  );
  const script = `
    const { Pinned } = await import(${JSON.stringify(new URL('../../capture/libc.js', import.meta.url).href)});
    await import(${JSON.stringify(new URL('../../capture/capture.js', import.meta.url).href)});
    try { new Pinned(8); } catch ({ exitCode, message, hint }) { console.log(JSON.stringify({ exitCode, message, hint })); }`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-r', preload, '--input-type=module', '-e', script]);
  t.match(JSON.parse(stdout), { exitCode: 6, message: /ffi-rs/, hint: /npm ci/ });
});
