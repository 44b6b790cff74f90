import type { Programs } from '../../analyze/program.js';
import type { Query } from '../../analyze/report/goroutines.js';

/** What is exported: goroutines of programs. */
export interface Source {
  readonly programs: Programs;
  /** Which goroutines, and in which order where the format has one. */
  readonly query: Query;
}

/** Where it goes: standard output, or a file. Both write as it comes; a format never holds all of it. */
export interface Output {
  /** Adds text. Throws GospyError with exit code 5 where it cannot be written. */
  write(text: string): Promise<void>;
  /** Adds bytes, which come after the text before them. Throws as {@link write} does. */
  bytes(data: Uint8Array): Promise<void>;
}
