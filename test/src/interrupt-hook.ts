/**
 * Loaded into a gospy process by `interruptedAt`: has it send itself a signal at a given point of its work, so that a test
 * knows what the signal interrupts. It watches the system calls that gospy makes through node:fs.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { openSync, mkdirSync, fstatSync, writeSync, readFileSync } = fs;
const at = process.env['GOSPY_TEST_INTERRUPT_AT'];
const signal = process.env['GOSPY_TEST_INTERRUPT_BY'] ?? 'SIGINT';
const target = process.env['GOSPY_TEST_INTERRUPT_PID'] ?? '';
let sent = false;

function interrupt(): void {
  if (sent) return;
  sent = true;
  process.kill(process.pid, signal);
}

function isStopping(): boolean {
  return target !== '' && readFileSync(`/proc/${target}/status`, 'utf8').includes(`TracerPid:\t${process.pid}\n`);
}

/** A clone is a child of the target. Its memory is opened to be copied, and once more for a proof. */
let openedClones = 0;

function isProof(path: string): boolean {
  const [, pid = ''] = /^\/proc\/(\d+)\/task\/\d+\/mem$/.exec(path) ?? [];
  if (pid === '' || pid === target || pid === String(process.pid)) return false;
  return readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${target}\n`) && ++openedClones === 2;
}

fs.openSync = (...args) => {
  const fd = openSync(...args);
  const path = String(args[0]);
  if (at === 'memory' && path.startsWith(`/proc/${target}/`) && path.endsWith('/mem')) interrupt();
  if (at === 'proof' && isProof(path)) interrupt();
  if (at === 'file' && path.endsWith('.tmp')) interrupt();
  return fd;
};

fs.mkdirSync = (...args: Parameters<typeof mkdirSync>) => {
  const made = mkdirSync(...args);
  if (at === 'file' && String(args[0]).endsWith('.tmp')) interrupt();
  return made;
};

// Asked of the folder of the target's threads once all of them have stopped.
fs.fstatSync = ((...args: Parameters<typeof fstatSync>) => {
  if (at === 'stop' && !sent && isStopping()) interrupt();
  return fstatSync(...args);
}) as typeof fstatSync;

fs.writeSync = ((...args: Parameters<typeof writeSync>) => {
  const written = writeSync(...args);
  if (at === 'output' && args[0] === 1) interrupt();
  return written;
}) as typeof writeSync;

syncBuiltinESMExports();
