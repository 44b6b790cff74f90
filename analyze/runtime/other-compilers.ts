import type { Mapping, ProcessImage } from '../../snapshots/image.js';
import { findBytes } from '../binary/scan.js';

/** A compiler of Go with a runtime of its own, and how its programs are told. */
interface OtherCompiler {
  readonly name: 'gccgo' | 'TinyGo';
  /** Texts of its runtime that a program keeps when it is stripped. */
  readonly marks: readonly string[];
  /** The file names of its runtime, where that is a library. */
  readonly library: RegExp | null;
}

const COMPILERS: readonly OtherCompiler[] = [
  // libgo/runtime/go-assert.c, in every libgo, static or not.
  { name: 'gccgo', marks: ['libgo assertion failure'], library: /\/libgo\.so\.\d[^/]*$/ },
  // src/runtime/panic.go: what runtimePanicAt prints, and a panic of its scheduler. Not with -panic=trap.
  {
    name: 'TinyGo',
    marks: ['panic: runtime error at ', 'trying to do blocking operation in exported function'],
    library: null,
  },
];

/** The compiler that built a program with another runtime than that of gc; null for a program that bears no mark of one. */
export function otherCompiler({ memory, mappings, executable }: ProcessImage): OtherCompiler['name'] | null {
  const own = mappings.filter(({ path, readable }) => readable && path === executable.path);
  const ranges = own.map(({ start, end }) => ({ lo: start, hi: end }));
  const built = COMPILERS.find(({ marks, library }) => {
    if (library !== null && mappings.some(({ path }: Mapping) => library.test(path))) return true;
    return marks.some((mark) => {
      for (const at of findBytes(memory, ranges, Buffer.from(mark), 1)) return at > 0;
      return false;
    });
  });
  return built?.name ?? null;
}
