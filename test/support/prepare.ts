import { unpackDebian } from './debian.js';
import { buildGo } from './go-build.js';
import { hasGo } from './go.js';
import { fetchNode, NODES } from './nodes.js';
import { PREPARED_CELLS } from './prepared-cells.js';
import { cellName } from './releases.js';

/** Fetches or builds every program that tests start, two at a time, so that no test waits for a compiler or a download. */
async function prepare(): Promise<void> {
  await unpackDebian().catch((error: unknown) => {
    process.stderr.write(`tests that need packages of Debian will say so: ${String(error)}\n`);
  });
  for (const release of NODES) {
    await fetchNode(release).catch((error: unknown) => {
      process.stderr.write(`tests that need Node ${release} will say so: ${String(error)}\n`);
    });
  }
  if (!hasGo()) {
    process.stderr.write('no go on PATH: tests that need Go programs will say so\n');
    return;
  }
  const waiting = [...PREPARED_CELLS];
  let done = 0;
  const build = async (): Promise<void> => {
    for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
      const start = performance.now();
      await buildGo(cell);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      process.stderr.write(`[${++done}/${PREPARED_CELLS.length}] ${cellName(cell)}: ${seconds} s\n`);
    }
  };
  await Promise.all([build(), build()]);
}

await prepare();
