/**
 * Loaded into a gospy process: writes a line `touched N` to standard error for each process other than gospy itself whose
 * files in /proc it asks for.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { readlinkSync, writeSync } = fs;
const self = readSelf();

/** gospy's own number in this /proc. */
function readSelf(): string {
  try {
    return readlinkSync('/proc/self');
  } catch {
    return '';
  }
}

function watch(name: 'openSync' | 'readFileSync' | 'readdirSync' | 'readlinkSync' | 'statSync'): void {
  const original = fs[name] as (...args: unknown[]) => unknown;
  Object.assign(fs, {
    [name]: (...args: unknown[]) => {
      const pid = /^\/proc\/(\d+)/.exec(String(args[0]))?.[1];
      if (pid !== undefined && pid !== self) writeSync(2, `touched ${pid}\n`);
      return original(...args);
    },
  });
}

for (const name of ['openSync', 'readFileSync', 'readdirSync', 'readlinkSync', 'statSync'] as const) watch(name);
syncBuiltinESMExports();
