import type { Programs } from '../../analyze/program.js';
import type { Query } from '../../analyze/report/goroutines.js';

/** What is exported: goroutines of programs. */
export interface Source {
  readonly programs: Programs;
  /** Which goroutines, and in which order where the format has one. */
  readonly query: Query;
}
