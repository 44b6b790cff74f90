import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SOURCE = fileURLToPath(new URL('../../../test/analyze/debuginfo/main.go', import.meta.url));

/** What the compiler and the linker wrote about a program that is not stripped, as Go's own debug/* packages read it. */
export interface DebugInfo {
  /** e_entry, as in the file. */
  readonly entry: number;
  /** By name within package runtime. */
  readonly structs: Readonly<
    Record<string, { readonly size: number; readonly fields: Readonly<Record<string, number>> }>
  >;
  /** Variables of package runtime, by name within it. */
  readonly variables: Readonly<Record<string, number>>;
  readonly functions: readonly { readonly name: string; readonly entry: number }[];
}

/** Reads the symbol table of a program, and from its DWARF the named structs of package runtime. */
export async function readDebugInfo(program: string, structs: readonly string[] = []): Promise<DebugInfo> {
  const env = { ...process.env, GOTOOLCHAIN: 'local', GO111MODULE: 'off', GOFLAGS: '', GOENV: 'off', GOARCH: '' };
  const options = { cwd: dirname(SOURCE), env, maxBuffer: 1 << 28 };
  const { stdout } = await run('go', ['run', SOURCE, program, ...structs], options);
  return JSON.parse(stdout) as DebugInfo;
}
