import t from 'tap';
import { matchBinary, type BinaryMatch } from '../../../analyze/match/executable.js';
import type { GoProgram } from '../../../analyze/program.js';
import { NO_DEBUG_INFO } from '../../../analyze/runtime/layouts.js';
import { locateRuntimes } from '../../../analyze/runtime/locate-modules.js';
import { addr } from '../../../snapshots/address.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../../snapshots/elf/elf-source.js';
import { Memory } from '../../../snapshots/memory.js';
import { buildGo, requireGo } from '../../support/go.js';
import { someFacts } from '../../support/gsp.js';
import { readelfSegments } from '../../support/readelf.js';
import { ARM64_RELEASES, CHANGES, manyArm64, type Cell } from '../../support/releases.js';

/** Returns a program as it is in memory before its first instruction, at the addresses that its file says. */
async function unstarted(
  t: { teardown(end: () => void): void },
  cell: Cell,
): Promise<Pick<GoProgram, 'image' | 'code' | 'runtime'>> {
  const path = await buildGo(cell);
  const file = ElfFile.open(path);
  t.teardown(() => file.close());
  const mappings = readelfSegments(path)
    .filter(([type]) => type === 'LOAD')
    .map(([, fileOffset, vaddr, , memSize, flags]) => ({
      ...{ start: addr(vaddr - (vaddr % 65_536)), end: addr(Math.ceil((vaddr + memSize) / 65_536) * 65_536), path },
      ...{ readable: true, writable: flags.includes('W'), executable: flags.includes('E'), fileOffset },
    }));
  const { buildId, goBuildId, sizeBytes } = file;
  const image = {
    ...{ ...someFacts(), kind: 'core' as const, arch: 'arm64' as const, mappings },
    memory: new Memory(new ElfSource(file, 0, { writable: true })),
    executable: { path, deleted: false, buildId, goBuildId, sizeBytes },
  };
  const { runtimes, tried } = locateRuntimes(image, NO_DEBUG_INFO);
  const [found] = runtimes;
  if (found === undefined) throw new Error(tried.join('; '));
  return { image, code: found.code, runtime: { n: 1, file: path, buildId, goBuildId } };
}

async function match(program: Pick<GoProgram, 'image' | 'code' | 'runtime'>, cell: Cell): Promise<BinaryMatch> {
  const file = ElfFile.open(await buildGo(cell));
  try {
    return matchBinary(program, file);
  } finally {
    file.close();
  }
}

for (const release of ARM64_RELEASES) {
  t.test(`same code: go${release} for arm64, where pairs of instructions address data`, async (t) => {
    if (!requireGo(t)) return;
    const program = await unstarted(t, manyArm64(release, 'stripped'));
    const plain = manyArm64(release, 'plain');
    t.same(await match(program, plain), { same: true, bias: 0, identical: false });
    t.same(await match(program, manyArm64(release, 'stripped')), { same: true, bias: 0, identical: true });
    for (const [i, replace] of CHANGES.entries()) {
      const reason = `the code of main.${['main', 'receiver'][i] ?? ''} is not the same`;
      t.same(await match(program, { ...plain, replace }), { same: false, reason });
    }
  });
}
