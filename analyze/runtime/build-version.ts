import { isAddr, type Addr } from '../../snapshots/address.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';
import { FunctionTable } from '../binary/function-table.js';
import { parseGoVersion, type GoVersion } from '../binary/go-version.js';
import type { ModuleData } from '../binary/module-data.js';
import { blocks } from '../binary/scan.js';
import { dataReferences } from './code-references.js';
import { runtimeFunctions } from './runtime-functions.js';

/** Reads runtime.buildVersion, which schedinit refers to in order to keep it in the binary (proc.go). */
export function versionFromCode(image: ProcessImage, module: ModuleData): GoVersion | null {
  const { memory, arch } = image;
  const schedinit = runtimeFunctions(memory, new FunctionTable(memory, module), ['schedinit']).get('schedinit');
  if (schedinit === undefined) return null;
  return onFault(
    () => {
      for (const at of dataReferences(memory, arch, schedinit, module.data)) {
        const version = parseVersionAt(memory, at);
        if (version !== null) return version;
      }
      return null;
    },
    () => null,
  );
}

/** The first string in the module's data that is a Go version: runtime.buildVersion. */
export function versionFromData(memory: Memory, module: ModuleData): GoVersion | null {
  for (const { at, bytes } of blocks(memory, module.data, 16)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + 16 <= bytes.length; i += 8) {
      const length = view.getUint32(i + 8, true);
      if (length < MIN_VERSION || length > MAX_VERSION || view.getUint32(i + 12, true) !== 0) continue;
      // Strings that are something else are no part of what was read.
      if (parseVersionAt(memory.unrecorded, (at + i) as Addr) !== null) return parseVersionAt(memory, (at + i) as Addr);
    }
  }
  return null;
}

/** Bytes of a version: `go1.12` at least; development trees add a commit, a date and experiments. */
const MIN_VERSION = 6;
const MAX_VERSION = 256;

function parseVersionAt(memory: Memory, at: Addr): GoVersion | null {
  if (!memory.has(at, 16)) return null;
  const length = memory.word(at, 8);
  const data = memory.word(at);
  if (length < MIN_VERSION || length > MAX_VERSION || !isAddr(data) || !memory.has(data, length)) return null;
  const text = goString(memory, at);
  return /^(devel )?go1\.\d/.test(text) ? parseGoVersion(text) : null;
}
